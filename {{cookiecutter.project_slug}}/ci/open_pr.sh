#!/usr/bin/env bash
# Push build/results.patch as a branch, and open a pull request from it.
#
# A push and the schedule always use the same branch, so there is one pull request, which is updated;
# a run by hand has a branch of its own. Where GitHub refuses, a notice says where the change is.
set -euo pipefail

patch=build/results.patch
if [ ! -s "$patch" ]; then
  echo "No result is new: there is no pull request to open."
  exit
fi
case "$GITHUB_EVENT_NAME" in
  workflow_dispatch) branch=results/run-$GITHUB_RUN_ID ;;
  *) branch=results/newest ;;
esac
title="Update the pipeline's results"
help="$patch in the run's artifacts has the change: \`git apply --index\` takes it."

# git as GitHub's bot; gh gives it the workflow's token where the server wants a password.
export GIT_CONFIG_COUNT=3
export GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0="github-actions[bot]"
export GIT_CONFIG_KEY_1=user.email
export GIT_CONFIG_VALUE_1="41898282+github-actions[bot]@users.noreply.github.com"
export GIT_CONFIG_KEY_2=credential.helper GIT_CONFIG_VALUE_2="!gh auth git-credential"

git status >/dev/null # brings the index up to date where files were copied here, as act does
git apply --cached --binary "$patch"
# What trained had no right to write here, and this job has: nothing but results may come back.
# shellcheck disable=SC2046,SC2086 # one word for each path
others=$(git diff --cached --name-only --no-renames -- $(printf ':!%s ' $RESULTS))
if [ -n "$others" ]; then
  echo "::error::The patch changes what is no result, so nothing is pushed: $others"
  exit 1
fi
git commit --quiet --message "$title"
if ! git push --force origin "HEAD:refs/heads/$branch"; then
  echo "::notice::The branch $branch could not be pushed. $help"
  exit
fi
echo "Branch $branch pushed"

ends=(--repo "$GITHUB_REPOSITORY" --head "$branch" --base "$GITHUB_REF_NAME")
body="The pipeline's newest results: \`dvc.lock\`, metrics, cards and the README's table.

A workflow made this pull request, so GitHub starts no further workflow for it. Close and reopen it
where a check is required before merging."
# Without the workflow's token, gh would act for the person on whose machine act runs.
if [ -z "${GH_TOKEN:-}" ] || ! is_open=$(gh pr list "${ends[@]}" --json number --jq '.[].number') ||
  { [ -z "$is_open" ] && ! gh pr create "${ends[@]}" --title "$title" --body "$body"; }; then
  echo "::notice::No pull request was opened: there is no GH_TOKEN that may open one." \
    "The branch is $branch. $help"
fi
