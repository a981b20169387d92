#!/usr/bin/env bash
# Put build/report.md into one comment on the pull request PULL_REQUEST: the first run writes it,
# later ones replace its text. It is the last comment of GitHub's bot, as nothing else here writes any.
set -euo pipefail
export LC_ALL=C.UTF-8 # for bash to count characters and not bytes

report=$(<build/report.md)
if [ "${#report}" -gt 65000 ]; then # GitHub takes 65,536
  report="${report:0:65000}"$'\n\n'"The rest is in the run's summary."
fi
# Without the workflow's token, gh would act for the person on whose machine act runs.
if [ -z "${GH_TOKEN:-}" ] || ! gh pr comment "$PULL_REQUEST" --repo "$GITHUB_REPOSITORY" \
  --edit-last --create-if-none --body-file - <<<"$report"; then
  echo "::notice::No comment on the pull request: there is no GH_TOKEN that may write one." \
    "The report is in the run's summary."
fi
