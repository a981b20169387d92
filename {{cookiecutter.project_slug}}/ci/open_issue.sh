#!/usr/bin/env bash
# Put build/drift/report.md into the one open issue about drift. Where there is none, DRIFT=found
# opens it; a person closes it.
set -euo pipefail
export LC_ALL=C.UTF-8 # for bash to count characters and not bytes

title="The service's images have drifted"
run="${GITHUB_SERVER_URL:-https://github.com}/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID"
report=$(<build/drift/report.md)
body="${report:0:60000}"$'\n\n'"[The run]($run) has the plot, in its artifact \`drift\`." # GitHub takes 65,536

repository=(--repo "$GITHUB_REPOSITORY")
# Without the workflow's token, gh would act for the person on whose machine act runs.
if [ -z "${GH_TOKEN:-}" ] || ! number=$(gh issue list "${repository[@]}" --limit 1000 \
  --json number,title,author \
  --jq "map(select(.title == \"$title\" and .author.is_bot))[0].number // empty") ||
  ! if [ -n "$number" ]; then
    gh issue edit "$number" "${repository[@]}" --body-file - <<<"$body"
  elif [ "$DRIFT" = found ]; then
    gh issue create "${repository[@]}" --title "$title" --body-file - <<<"$body"
  fi; then
  echo "::notice::No issue was written: there is no GH_TOKEN that may write one." \
    "The report is in the run's summary."
fi
