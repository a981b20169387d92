#!/bin/sh
# Start a version beside the one that answers, and let it take over once it is ready, without a
# dropped request. `make deploy` and `make rollback` run this on the host, in the project's folder:
#
#     sh takeover.sh SECONDS IMAGE    the image by digest, which has to be ready within SECONDS
#     sh takeover.sh SECONDS          the version before the present one takes over again
#
# There are two slots, blue and green, of which one answers: green where there is a file
# active/green. The proxy looks for it at every request (see Caddyfile), so nothing is restarted or
# reloaded when they change places.
set -eu

seconds=$1
drain_seconds=2 # for requests that were sent to the old slot just before the switch
mkdir -p active
[ -e .env ] || (umask 077 && touch .env) # it holds passwords
if command -v flock >/dev/null; then # util-linux; two deployments at once would take each other's slot
  exec 9>.lock
  flock --nonblock 9 || { echo "Another deployment is under way on this host." >&2 && exit 1; }
fi
if [ -e active/green ]; then # active/blue is kept while green answers
  active=green idle=blue key=BLUE_IMAGE
elif [ -e active/blue ]; then
  active=blue idle=green key=GREEN_IMAGE
else
  active='' idle=blue key=BLUE_IMAGE # the first deployment
fi
idle_image=$(sed -n "s/^$key=//p" .env)
image=${2:-$idle_image}

# Write the idle slot's image where compose reads it. Other lines stay, and so does who may read the
# file; nobody reads half of it.
set_image() {
  cp -p .env .env.new
  { sed "/^$key=/d" .env; [ -z "$1" ] || echo "$key=$1"; } >.env.new
  mv .env.new .env
}

# Leave everything as it was, and say why.
roll_back() {
  trap - EXIT
  docker compose stop "$idle" || true
  set_image "$idle_image"
  echo "Rolled back, ${active:-nothing} answers as before: $1" >&2
  exit 1
}

if [ -z "$image" ] || { [ $# -eq 1 ] && [ -z "$active" ]; }; then
  echo "There is no earlier version on this host." >&2
  exit 1
fi
trap 'roll_back "it ended early."' EXIT
trap 'roll_back "it was interrupted."' HUP INT TERM
set_image "$image"
if [ $# -eq 2 ]; then
  docker compose pull --quiet "$idle" || roll_back "the image could not be pulled."
fi
docker compose up --detach --no-deps proxy "$idle" || roll_back "the new version did not start."

container=$(docker compose ps --quiet "$idle")
deadline=$(($(date +%s) + seconds))
while :; do
  # Healthy by the image's HEALTHCHECK (docker/Dockerfile): the model is loaded. "unhealthy" ends the
  # wait before the deadline.
  state=$(docker inspect --format '{{.State.Health.Status}} {{.State.OOMKilled}}' "$container")
  [ "$state" = "healthy false" ] && break
  if [ "$state" != "starting false" ] || [ "$(date +%s)" -gt "$deadline" ]; then
    docker logs --tail 8 "$container" >&2
    case $state in
      *true) roll_back "the new version was killed for lack of memory; MEMORY in .env gives more." ;;
      *) roll_back "the new version did not become ready; the end of its log is above." ;;
    esac
  fi
  sleep 1
done

trap - EXIT
trap '' HUP INT TERM # from here on, the new version is the one that answers
case $idle in
  blue) touch active/blue && rm -f active/green ;;
  green) touch active/green ;;
esac
if [ -n "$active" ]; then
  sleep "$drain_seconds"
  docker compose stop "$active"
fi
echo "$image answers from the slot $idle."
