# shellcheck shell=bash
# Completion for fc-run, fcctl, fc-agent and fc-image. It knows nothing by itself: verbs and options come from --help.

_fcnode_words() { # what --help of these words offers: options, and verbs when only the program is given
	local help
	help=$("$@" --help </dev/null 2>/dev/null) || return 0
	sed -nE 's/^ +(-[A-Za-z0-9], )?(--[a-z0-9-]+).*/\2/p' <<<"$help"
	if (($# == 1)); then sed -nE 's/^  ([a-z][a-z-]*)( .*)?$/\1/p' <<<"$help"; fi
}

_fcnode() {
	local program=$1 current=$2 verb='' i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} != -* && ${COMP_WORDS[i - 1]} != --* ]]; then
			verb=${COMP_WORDS[i]}
			break
		fi
	done
	if [[ $current == -* || -z $verb ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_fcnode_words "$program" ${verb:+"$verb"})" -- "$current")
	fi
}

complete -o default -F _fcnode fc-run fcctl fc-agent fc-image
