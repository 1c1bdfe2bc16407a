# bash completion of secretref-logdriver

_secretref_logdriver() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words=
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words='serve status forget check refresh configure routers import iam-policy version help'
	else
		case ${COMP_WORDS[1]}:$before in
		serve:--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		serve:--state-dir) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		serve:--socket) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		serve:--volume-socket) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		serve:--volume-dir) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		serve:--runtime-socket) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		serve:--log-level) ;;
		serve:--log-format) ;;
		status:--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		status:--state-dir) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		forget:--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		forget:--state-dir) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		check:--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		check:--state-dir) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		check:--log-opt) ;;
		check:--volume-opt) ;;
		refresh:--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		refresh:--state-dir) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		configure:--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		configure:--runtime) ;;
		configure:--daemon-config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		import:--part) ;;
		import:--format) ;;
		iam-policy:--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		iam-policy:--state-dir) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		iam-policy:--log-opt) ;;
		iam-policy:--format) ;;
		serve:*) words='--config --state-dir --socket --volume-socket --volume-dir --runtime-socket --log-level --log-format --help' ;;
		status:*) words='--config --state-dir --json --watch --help' ;;
		forget:*) words='--config --state-dir --discard --force --ended --volume --help' ;;
		check:*) words='--config --state-dir --log-opt --volume-opt --send --help' ;;
		refresh:*) words='--config --state-dir --help' ;;
		configure:*) words='--config --runtime --default --undo --dry-run --daemon-config runtime --help' ;;
		routers:*) words='--help' ;;
		import:*) words='--part --format --help' ;;
		iam-policy:*) words='--config --state-dir --log-opt --format --help' ;;
		version:*) words='--help' ;;
		help:*) words='--help' ;;
		esac
	fi
	[ -z "$words" ] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _secretref_logdriver secretref-logdriver
