#!/usr/bin/env bash
# Build the image without a daemon, start it once, ask it for a detection (`make image`).
#
#   BASE_IMAGE   image with Python 3.11 to start from   (unset: Debian's minimal system by debootstrap)
#   BASE_ROOTFS  folder with such a system              (unset: one is made)
#   TORCH_INDEX  index of CPU builds of torch           (empty: what pip is configured to use)
#   ARCHIVE      file for `docker load`, `podman load`  (empty: none is written)
#
# Needed: root, buildah, and for the base debootstrap (both are packages of Debian).
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$(realpath -s "${PYTHON:-.venv/bin/python}")
bentoml=$(dirname "$python")/bentoml
archive=${ARCHIVE-$PWD/dist/detection-anomalies-service.tar}
name=detection-anomalies-service:$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
here=$PWD/deploy/image
for tool in buildah ${BASE_IMAGE:+true} ${BASE_ROOTFS:+true} debootstrap; do
  [ "$tool" = true ] && break
  command -v "$tool" >/dev/null || { echo "error: $tool is not installed (a package of Debian)" >&2; exit 1; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/image.XXXXXX")
server=
finish() {
  # Waited for: while it ends, buildah still writes to its store.
  [ -z "$server" ] || { kill -- "-$server" 2>/dev/null; wait "$server"; } || true
  rm -rf "$work"
}
trap finish EXIT
step() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

# A store of its own, plain copies instead of overlays: works inside a container, and leaves nothing.
cat >"$work/storage.conf" <<EOF
[storage]
driver = "vfs"
graphroot = "$work/storage"
runroot = "$work/run"
EOF
export CONTAINERS_STORAGE_CONF=$work/storage.conf STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot

base=${BASE_IMAGE:-}
if [ -z "$base" ]; then
  rootfs=${BASE_ROOTFS:-$work/rootfs}
  if [ ! -d "$rootfs" ]; then
    step "base system (debootstrap)"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
      bookworm "$rootfs" >"$work/debootstrap.log" || { tail "$work/debootstrap.log" >&2; exit 1; }
  fi
  container=$(buildah from scratch)
  tar --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./proc/*' --exclude='./sys/*' \
    -C "$rootfs" -cf "$work/rootfs.tar" .
  buildah add -q "$container" "$work/rootfs.tar" / >/dev/null
  base=localhost/python-base:bookworm
  buildah commit -q --rm "$container" "$base" >/dev/null
  rm -rf "$work/rootfs" "$work/rootfs.tar"
fi

step "bento"
tag=$("$bentoml" build --output tag 2>"$work/bento.log" | sed -n 's/^__tag__://p')
[ -n "$tag" ] || { cat "$work/bento.log" >&2; exit 1; }
bundle=$(grep -om1 'anomaly-bundle:[^ ]*' "$("$bentoml" get "$tag" --output path)/bento.yaml" || true)

step "image of $tag on $base"
options=(--opt format=docker --opt "build-arg=BASE_IMAGE=$base" --opt "build-arg=TORCH_INDEX=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}")
options+=(--opt "secret=id=pip,src=$work/pip.conf")
# Not `--opt volume=`: BentoML joins several of them into one.
{ echo "[containers]"; echo "volumes = ["
  for place in $("$python" "$here/pipconf.py" "$work"); do echo "  \"$place:$place:ro\","; done
  echo "]"; } >"$work/containers.conf"
TMPDIR=$work CONTAINERS_CONF=$work/containers.conf "$bentoml" containerize "$tag" \
  --backend buildah --image-tag "$name" "${options[@]}" >"$work/image.log" 2>&1 || true
# BentoML reports a failed build and still ends with 0: only the image counts.
size=$(buildah images --format '{{.Size}}' "$name" 2>/dev/null) ||
  { tail -n 40 "$work/image.log" >&2; exit 1; }
built=$SECONDS
step "built: $size"

step "start it and ask for a detection"
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
container=$(buildah from "$name")
set -m
buildah run --env "SERVICE_PORT=$port" --env SERVICE_HOST=127.0.0.1 --env MLFLOW_ENABLED=false "$container" -- \
  /home/bentoml/bento/env/docker/entrypoint.sh >"$work/run.log" 2>&1 &
server=$!
set +m
"$python" "$here/ask.py" "http://127.0.0.1:$port" "$bundle" || { tail -n 40 "$work/run.log" >&2; exit 1; }
answered=$SECONDS

step "its health check, its user, its other commands"
inside() { buildah run --env "SERVICE_PORT=$port" "$container" -- "$@" 2>&1; }
inside python3 /home/bentoml/bento/src/deploy/image/health.py
user=$(inside id -u)
[ "$user" != 0 ] || { echo "error: it runs as root" >&2; exit 1; }
for module in consumers.bridge training.fit db.migrate deploy.exporter; do
  inside /home/bentoml/bento/env/docker/entrypoint.sh python -m "$module" --help >"$work/help.log" ||
    { cat "$work/help.log" >&2; exit 1; }
done
echo "      healthy, user $user; bridge, training, migration and exporter start"

if [ -n "$archive" ]; then
  step "archive $archive"
  mkdir -p "$(dirname "$archive")"
  rm -f "$archive"
  buildah push -q "$name" "docker-archive:$archive:$name"
fi
step "done: image $size, built after ${built}s, first detection $((answered - built))s after its start"
