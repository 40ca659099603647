#!/bin/sh
# A peer that answers what its first argument says; it needs nothing but a shell.
say() { printf '%s\n' "$1"; }
case $1 in
broken) echo 'ModuleNotFoundError: no such library' >&2; exit 1 ;;
esac
cpus=64
[ "$1" = squeezed ] && cpus=1
folder=
while read -r request; do
  case $request in
  *'"do":"hello"'*)
    version=1
    [ "$1" = foreign ] && version=99
    attention=
    [ "$1" = gated ] && attention='"attention":["gated"],'
    say '{"ok":{"protocol":'$version',"name":"fake","version":"1.2","cpus":'$cpus',"supports":{'$attention'"work":["forward","training"],"mask":["full","causal"],"dtype":["f32"]}}}'
    ;;
  *'"do":"cell"'*)
    printf '%s' "$request" | grep -q '"mask":{"kind":"causal"}' && { say '{"unsupported":"causal today"}'; continue; }
    [ "$1" = gated ] && case $request in
    *'"attention":"gated","tensors":{"gate":[2,2,3,4]}'*) ;;
    *) say '{"failed":"no gate"}'; continue ;;
    esac
    folder=$(printf '%s' "$request" | sed 's/.*"folder":"\([^"]*\)".*/\1/')
    say '{"ok":{}}'
    ;;
  *'"do":"run"'*)
    case $1 in
    dies) echo 'first line' >&2; echo 'Killed by a test' >&2; exit 7 ;;
    hangs) sleep 600 ;;
    fails) say '{"failed":"ValueError: not today"}' ;;
    short) say '{"ok":{"seconds":[0.5]}}' ;;
    chatters) say 'hello world' ;;
    *) say '{"ok":{"seconds":[0.25,0.5]}}' ;;
    esac
    ;;
  *'"do":"output"'*)
    to=$(printf '%s' "$request" | sed 's/.*"folder":"\([^"]*\)".*/\1/')
    # O is the values, as if each query saw its own key alone; so are the gradients of them.
    cp "$folder/v.f32" "$to/o.f32"
    for x in q k v; do cp "$folder/$x.f32" "$to/d$x.f32"; done
    [ "$1" = gated ] && cp "$folder/gate.f32" "$to/o.f32"
    [ "$1" = truncates ] && printf 'abcd' > "$to/o.f32"
    say '{"ok":{}}'
    ;;
  *'"do":"bye"'*) exit 0 ;;
  esac
done
