# Sourced by .ci/run: stages with their times, clones, README's commands, checks of what was printed.

done_stages=() current="setting up" wanted=() interpreter=(.venv/bin/python)

stage() { # title, function, arguments …: run in a subshell, announced and timed; a failure ends the run
    [ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " == *" $2 "* ]] || return 0
    current=$1
    shift
    echo
    echo "==> $current"
    local start=$SECONDS skipped=
    rm -f "$work/skipped"
    (set -euo pipefail && "$@")
    [ ! -e "$work/skipped" ] || skipped="SKIPPED, $(cat "$work/skipped"): "
    done_stages+=("$(printf '%5d s  %s' $((SECONDS - start)) "$skipped$current")")
    echo "<== $current: $((SECONDS - start)) s"
}

skip() { # reason: leave the stage; the summary says so
    echo "SKIPPED: $1"
    echo "$1" >"$work/skipped"
    exit 0
}

packages() { # Debian's packages that the stage needs: they are installed where they are missing, or the stage is skipped
    local package missing=()
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>"$work/dpkg.log" | grep -q ' installed$' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || skip "needs root and apt-get to install ${missing[*]}"
    echo "+ apt-get install ${missing[*]}"
    { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "${missing[@]}"; } \
        >"$work/apt.log" 2>&1 || { tail -n 5 "$work/apt.log"; skip "apt-get cannot install ${missing[*]}"; }
}

finish() { # exit status: the summary, and no traces
    cd /
    rm -rf "$work"
    echo
    [ ${#done_stages[@]} -eq 0 ] || printf '%s\n' "${done_stages[@]}"
    if [ "$1" -eq 0 ]; then
        echo "CI passed: ${#done_stages[@]} stages in $SECONDS s"
    else
        echo "CI FAILED in: $current"
    fi
}

clone() { # folder: a fresh clone of HEAD, entered
    git clone --quiet --no-hardlinks "$root" "$1"
    cd "$1"
}

readme_command() { # words: run the line of README that makes an environment and ends with them, exactly as it stands
    local line
    line=$(grep -E "^ *python3 -m venv .*$1 *$" README.md) || { echo "README.md has no line 'python3 -m venv … $1'"; return 1; }
    [ "$(wc -l <<<"$line")" -eq 1 ] || { echo "README.md has several such lines:" "$line"; return 1; }
    echo "+ $line"
    bash -euo pipefail -c "$line"
}

must_pass() { # pytest's arguments: the tests pass, and at least one ran (a run of nothing but skips is a failure)
    "${interpreter[@]}" -P -m pytest "$@" | tee "$work/pytest.log"
    tail -n 1 "$work/pytest.log" | grep -qE '[1-9][0-9]* passed'
}

must_find() { # words; a program on stdin: it is ended with a report of them
    if "${interpreter[@]}" -P - >"$work/found.log" 2>&1 || ! grep -q "$1" "$work/found.log"; then
        tail -n 40 "$work/found.log"
        echo "expected a report of '$1'"
        return 1
    fi
    echo "found, as planted: $(grep -m 1 "$1" "$work/found.log")"
}

accurate() { # log of `nncore train`: at least 97 % of the held-out digits
    awk '/^Accuracy on held-out digits:/ { seen = 1; ok = ($5 + 0 >= 97) } END { exit !(seen && ok) }' "$1" ||
        { echo "expected an accuracy of at least 97 % in the output of nncore train"; return 1; }
}

clean_tree() { # installing and testing left nothing that git would see
    [ -z "$(git status --porcelain)" ] || { git status --short; return 1; }
}

vex_count() { # object file: how many of its instructions are VEX or EVEX encoded
    objdump -d --no-show-raw-insn "$1" | awk '$2 ~ /^v/ && /%[xyz]mm/ { n++ } END { print n + 0 }'
}
