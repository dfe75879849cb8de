#!/bin/sh
# no_printing.sh NM libvqrank.a
# The library does not print, abort, read the environment or start threads: it does not even refer to a function that
# would.
. "$(dirname "$0")/common.sh"
nm=$1 static=$2
forbidden='(__)?v?f?printf(_chk)?|putc|putchar|fputc|puts|fputs|fwrite|write|perror|psignal|syslog|stdout|stderr|stdin'
forbidden="$forbidden|abort|_?exit|_Exit|quick_exit|atexit|raise|kill|__assert_fail|__assert|(sig)?longjmp"
forbidden="$forbidden|(secure_|__secure_)?getenv|setenv|putenv|environ|setlocale|system|fork|exec[a-z]*"
forbidden="$forbidden|signal|sigaction"
forbidden="$forbidden|pthread_[a-z_]+|thrd_[a-z_]+|mtx_[a-z_]+|call_once|__cxa_[a-z_]+|_Zn[aw].*|_Zd[al].*|_ZSt.*"
found=$("$nm" -A -u "$static" | awk '{ print $1, $NF }' | grep -E " ($forbidden)(@.*)?\$" || true)
[ -z "$found" ] || problem "$found"
"$nm" -u "$static" | grep -q memcpy || problem "$nm lists no references at all: is $static right?"
finish
