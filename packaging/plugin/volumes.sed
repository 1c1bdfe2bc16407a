# Makes the manifest of the plugin with volumes out of config.json. The values are on a tmpfs that Docker mounts for the
# plugin below its propagated mount, where the daemon and containers see it.
s|"Log driver that|"Log and volume driver and provider of swarm secrets that|
s|"/bin/secretref-logdriver", "serve"|&, "--volume-socket", "/run/docker/plugins/secretref.sock", "--volume-dir", "/run/docker/logging/.values"|
s|"docker.logdriver/1.0"|&, "docker.volumedriver/1.0", "docker.secretprovider/1.0"|
/"propagatedMount"/a\
  "mounts": [{"name": "values", "description": "memory for the files of volumes", "source": "tmpfs", "type": "tmpfs",\
    "destination": "/run/docker/logging/.values", "options": ["size=64m", "mode=0700", "nosuid", "nodev", "noexec"]}],
