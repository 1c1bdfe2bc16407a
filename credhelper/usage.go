package credhelper

const usage = `Usage: docker-credential-secretref COMMAND

Registry credentials by reference: values come from AWS Secrets Manager and SSM Parameter Store at the moment of use.

For Docker and other clients, which write to standard input (docker-credential-helpers protocol):
  get      a server URL in, a JSON object with user name and password out
  store    succeeds when the credentials are the ones that the reference gives
  erase    drops the cached value, so that the next get asks AWS
  list     the hosts that the configuration names, without asking AWS

For the kubelet, as one of its image credential providers:
  kubelet  a CredentialProviderRequest in, a CredentialProviderResponse out

For people; none prints a value, and --help after each says more:
  check [HOST ...]    resolve every mapping, or those of the hosts, for real, and look whether clients ask
  explain HOST        say which rule answers for a host and which clients ask, from files alone
      --user NAME     of both: look at this user's clients, not your own
      --config DIR    of both: directory of Docker's config.json
      --json          of both: print one JSON object
      --no-clients    of check: do not look at the configuration of clients
  configure docker    write credHelpers for the exact hosts into Docker's config.json
  configure podman    the same for podman, skopeo and buildah
      --all           every host: credsStore for docker, credential-helpers for podman
      --undo          take out what configure has written
      --dry-run       only say what would change
  iam-policy          print the IAM policy that the registries of the configuration need
      --format FORMAT  json, terraform or cloudformation; default: json
  version             print the version
  help                print this

Files: /etc/secretref/config.toml, /etc/secretref/conf.d/*.toml, ~/.config/secretref/config.toml
Manual pages: docker-credential-secretref(1), secretref-config(5)
`
