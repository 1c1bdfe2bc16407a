# bash completion of docker-credential-secretref

_docker_credential_secretref() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words=
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words='get store erase list kubelet check explain configure iam-policy version help'
	else
		case ${COMP_WORDS[1]}:$before in
		check:--user) ;;
		check:--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		explain:--user) ;;
		explain:--config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		iam-policy:--format) ;;
		get:*) words='--help' ;;
		store:*) words='--help' ;;
		erase:*) words='--help' ;;
		list:*) words='--help' ;;
		kubelet:*) words='--help' ;;
		check:*) words='--user --config --json --no-clients --help' ;;
		explain:*) words='--user --config --json --help' ;;
		configure:*) words='--all --undo --dry-run docker podman --help' ;;
		iam-policy:*) words='--format --help' ;;
		version:*) words='--help' ;;
		help:*) words='--help' ;;
		esac
	fi
	[ -z "$words" ] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _docker_credential_secretref docker-credential-secretref
