# shellcheck shell=bash disable=SC2034,SC2154 # part of contrib/quickstart, which sets and uses the rest
