#!/usr/bin/env bash
# Lays out the image's files: the programs of a folder, the libraries that they load, the licences of these.
#   assemble.sh PROGRAMS_FOLDER IMAGE_FOLDER
set -euo pipefail
programs=$1
image=$2

# Where /lib is a link to /usr/lib, dpkg knows a file by one of the names.
package_of() {
  local found
  found=$(dpkg-query --search "$1" "/usr$1" "$(realpath "$1")" 2>/dev/null || true)
  [[ -n $found ]] || { echo "assemble.sh: no package has $1" >&2; exit 1; }
  echo "${found%%:*}"
}

mkdir -p "$image"/{usr/bin,usr/lib,usr/lib64,etc,run,tmp}
ln -s usr/lib "$image/lib"
ln -s usr/lib64 "$image/lib64"
install -t "$image/usr/bin" "$programs"/*
# NVIDIA's container runtime learns from this file where libraries belong.
cp /etc/debian_version "$image/etc/"
echo 'chunkkv:x:65532:65532:ChunkKV:/:/nonexistent' >"$image/etc/passwd"
echo 'chunkkv:x:65532:' >"$image/etc/group"
chmod 1777 "$image/tmp"

mapfile -t libraries < <(ldd "$programs"/* | grep -oE '/[^ ]+\.so[^ ]*' | sort -u)
packages=()
for library in "${libraries[@]}"; do
  target=$image/usr/${library#/}
  target=${target/"/usr/usr/"/"/usr/"}
  install -D --mode=0755 "$(realpath "$library")" "$target"
  packages+=("$(package_of "$library")")
done
# What is compiled in rather than loaded.
printf 'STATIC %s\n' nlohmann-json3-dev libcli11-dev >"$image/packages"
printf 'DYNAMIC %s\n' "${packages[@]}" | sort -u >>"$image/packages"
while read -r _ package; do
  install -D --mode=0644 "/usr/share/doc/$package/copyright" "$image/usr/share/doc/$package/copyright"
done <"$image/packages"
