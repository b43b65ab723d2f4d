# SPDX-License-Identifier: MIT
# Completion of pinwarden for bash. It needs nothing but bash itself.

_pinwarden_options() {
	case $1 in
	run) echo --output --policy --audit --enforce --fail-on --idle-stacks --log --max-size --no-follow --quiet --verbose --help ;;
	report) echo --format= --output= --color= --by= --filter= --scorecard --top= --weight= --sysroot= --help ;;
	check) echo --policy= --format= --output= --baseline= --color= --top= --sysroot= --help ;;
	diff) echo --format= --output= --fail-on-regression --color= --top= --sysroot= --help ;;
	top) echo --delay= --looks= --batch --all --sort= --filter= --sysroot= --help ;;
	metrics) echo --output= --delay= --listen= --sites= --sysroot= --help ;;
	info) echo --format= --output= --help ;;
	verify) echo --quiet --help ;;
	recover) echo --output= --help ;;
	'policy lint') echo --quiet --help ;;
	'policy explain') echo --policy= --help ;;
	'policy test') echo --policy= --top= --sysroot= --help ;;
	'policy alerts') echo --help ;;
	esac
}

# Words for the value of an option; none when any file or text may be. $1 is the command, $2 the option.
_pinwarden_values() {
	case $1:$2 in
	report:--format | report:-f) echo text json html jsonl folded pprof chrome sqlite ;;
	check:--format | check:-f) echo text sarif junit json ;;
	diff:--format | diff:-f | info:--format | info:-f) echo text json ;;
	*:--color) echo auto always never ;;
	report:--by) echo site thread cpu ;;
	report:--weight) echo creations threads pins hold leaks ;;
	top:--sort | top:-s) echo run wait migrations held tid name ;;
	run:--fail-on) echo error warning never ;;
	run:--log) echo stderr ;;
	esac
}

# Does this option of this command take the next word?
_pinwarden_takes_value() {
	case $1:$2 in
	*:--output | *:--policy | *:--format | *:--color | *:--by | *:--top | *:--weight | *:--sysroot | *:--baseline | \
		*:--fail-on | *:--log | *:--max-size | *:--delay | *:--looks | *:--sort | *:--filter | *:--listen | \
		*:--sites | *:-o | *:-p) return 0 ;;
	report:-f | check:-f | diff:-f | info:-f | top:-f | top:-d | top:-n | top:-s | metrics:-d) return 0 ;;
	esac
	return 1
}

# Number of the word where the program to run stands or would stand; 0: that is not the word to complete, nor before it.
_pinwarden_program() {
	local i

	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--)
			echo $((i + 1))
			return
			;;
		-*)
			_pinwarden_takes_value run "${COMP_WORDS[i]}" || continue
			((i++))
			[ "${COMP_WORDS[i]}" = = ] && ((i++))
			;;
		*)
			echo "$i"
			return
			;;
		esac
	done
	[[ $i != "$COMP_CWORD" || ${COMP_WORDS[i]} == -* ]] && i=0
	echo "$i"
}

_pinwarden_words() {
	COMPREPLY=($(compgen -W "$1" -- "$word"))
}

_pinwarden_files() {
	local IFS=$'\n'

	COMPREPLY=($(compgen "$1" -- "$word"))
}

_pinwarden() {
	local commands='run report check top metrics diff policy info verify recover help'
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} program=0 values

	COMPREPLY=()
	# --option=value is three words, --option value two
	if [ "$word" = = ]; then
		word=''
	elif [ "$before" = = ]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	[ "$command" = policy ] && [ "$COMP_CWORD" -gt 2 ] && command="policy ${COMP_WORDS[2]}"
	[ "$command" = run ] && program=$(_pinwarden_program)
	if [ "$COMP_CWORD" = 1 ]; then
		_pinwarden_words "$commands --help --version"
	elif [ "$command" = help ]; then
		_pinwarden_words "$commands"
	elif [ "$command" = policy ]; then
		_pinwarden_words 'lint explain test alerts --help'
	elif [ "$program" = "$COMP_CWORD" ]; then
		_pinwarden_files -c
	elif [ "$program" != 0 ]; then
		_pinwarden_files -f
	elif _pinwarden_takes_value "$command" "$before"; then
		values=$(_pinwarden_values "$command" "$before")
		if [ -n "$values" ]; then _pinwarden_words "$values"; else _pinwarden_files -f; fi
	elif [[ $word == -* ]]; then
		_pinwarden_words "$(_pinwarden_options "$command")"
		[[ ${#COMPREPLY[@]} = 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
	else
		_pinwarden_files -f
	fi
}

complete -o filenames -F _pinwarden pinwarden
