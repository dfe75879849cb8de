# Sourced by the structural tests.
set -eu
LC_ALL=C
export LC_ALL

problems=0

# One line per problem; `finish` fails if there was any.
problem()
{
    echo "$*"
    problems=$((problems + 1))
}

finish()
{
    if [ "$problems" -ne 0 ]; then
        echo "$problems problems"
        exit 1
    fi
    echo ok
}

# Exit status 77: CTest counts the test as skipped.
skip()
{
    echo "skipped: $*"
    exit 77
}
