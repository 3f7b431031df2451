#!/bin/bash
# HEALTHCHECK of the image: 0 when the service in this container answers GET /readyz with 200. (The image has no curl.)
exec 3<> "/dev/tcp/127.0.0.1/${PORT:-8000}" || exit 1
printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 2 _ status _ <&3 && [ "$status" = 200 ]
