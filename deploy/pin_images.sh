#!/bin/sh
# Puts the digest behind the tag of every base image: what is built then is of these very bytes, whatever a tag is given
# to later. A tag that already has a digest is looked up anew.
#   sh deploy/pin_images.sh deploy/*.Dockerfile deploy/serving/*.Dockerfile
set -eu
for file in "$@"; do
  for image in $(sed -n 's/^FROM \([^ @]*[:/][^ @]*\).*/\1/p' "$file" | sort -u); do
    digest=$(docker buildx imagetools inspect "$image" | sed -n 's/^Digest: *//p')
    case "$digest" in
      sha256:*) sed -i "s|^FROM $image\(@sha256:[0-9a-f]*\)\{0,1\}\( .*\)\{0,1\}\$|FROM $image@$digest\2|" "$file" ;;
      *) echo "error: $file: the registry gives no digest for $image" >&2; exit 2 ;;
    esac
    echo "$file: $image@$digest"
  done
done
