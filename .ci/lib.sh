# Sourced by .ci/run: stages with their times, clones, README's commands, checks of what was printed.

done_stages=() current="setting up"

stage() { # title, command …: run in a subshell, announced and timed; a failure ends the run
    current=$1
    shift
    echo
    echo "==> $current"
    local start=$SECONDS
    (set -euo pipefail && "$@")
    done_stages+=("$(printf '%5d s  %s' $((SECONDS - start)) "$current")")
    echo "<== $current: $((SECONDS - start)) s"
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
    $venv_bin/pytest "$@" | tee "$work/pytest.log"
    tail -n 1 "$work/pytest.log" | grep -qE '[1-9][0-9]* passed'
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
