package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/hostcache"
	"github.com/secretref/secretref/shared/rig"
	"github.com/secretref/secretref/shared/secretref"
)

// The whole configuration, as it would stand in /etc/secretref/config.toml.
const configuration = `# Registry passwords by reference: see secretref-config(5).
[aws]
region = "eu-west-1"

[cache]
ttl   = "5m"
stale = "1h"

[registries.%q]
credentialsParameter = %q
`

func configure(ctx context.Context, h *host) error {
	text, err := payload(h.old)
	if err != nil {
		return err
	}
	h.secret = h.aws.PutSecret(fakeaws.Secret{Name: "prod/registry", String: text})
	h.out.say("on AWS this is: aws secretsmanager create-secret --name prod/registry --secret-string file://registry.json")
	h.out.say(`registry.json holds {"username": "%s", "password": "..."}, as for ECS`, user)
	ref, err := secretref.ParseCredentialsParameter(h.secret)
	if err != nil {
		return err
	}
	// The helper groups what it keeps by reference: erase, and this demo's search, go by it.
	h.group = hostcache.NewKey([]string{ref.Service.String(), ref.String()}, nil).Group
	err = os.WriteFile(h.dir+"/etc/config.toml", fmt.Appendf(nil, configuration, h.privateN, h.secret), 0o644)
	if err != nil {
		return err
	}
	h.later(h.forget)
	return h.sh(ctx, command{line: "cat $SECRETREF_CONFIG", want: []string{h.secret}})
}

func payload(password *rig.Canary) (string, error) {
	b, err := json.Marshal(map[string]string{"username": user, "password": password.Value()})
	return string(b), err
}

func check(ctx context.Context, h *host) error {
	err := h.sh(ctx,
		command{line: "docker-credential-secretref configure docker", want: []string{h.privateN}},
		command{line: "cat $DOCKER_CONFIG/config.json", want: []string{`"` + h.privateN + `": "secretref"`}},
		command{line: "docker-credential-secretref check", want: []string{"ok     registry " + h.privateN + ": credentials from "}},
		command{line: "docker-credential-secretref explain " + h.privateN, want: []string{"rule:", h.secret, "cache:         nothing kept"}},
	)
	if err != nil {
		return err
	}
	return h.wantReads(1) // of check, which goes past the cache
}

func rotate(ctx context.Context, h *host) error {
	text, err := payload(h.new)
	if err != nil {
		return err
	}
	before := h.reads()
	version := h.aws.RotateSecret(h.secret, text)
	if err := h.registry.SetPassword(ctx, h.new.Value()); err != nil {
		return err
	}
	if err := h.remove(ctx, h.image()); err != nil {
		return err
	}
	h.out.say("AWSCURRENT is now version %s, and the registry refuses the old password", version)
	err = h.sh(ctx,
		command{line: "docker logout " + h.privateN},
		command{line: "docker pull " + h.image(), want: []string{"Downloaded newer image"}, drop: progress},
		command{line: "docker-credential-secretref explain " + h.privateN + " | grep cache:", want: []string{"a value version " + version}},
	)
	if err != nil {
		return err
	}
	return h.wantReads(before + 1)
}

func deny(ctx context.Context, h *host) error {
	logout := command{line: "docker logout " + h.privateN}
	h.aws.Deny(role, "secretsmanager:GetSecretValue", h.secret)
	h.out.say("secretsmanager:GetSecretValue is taken from role app-host, and the cached value dropped")
	err := h.sh(ctx, logout, command{line: "docker pull " + h.image(), fails: true, drop: progress, want: []string{
		"docker-credential-secretref: registry " + h.privateN + ": get secret " + h.secret, "access denied",
		"; allow secretsmanager:GetSecretValue on it for ",
	}})
	if err != nil {
		return err
	}
	h.aws.Allow(role, "secretsmanager:GetSecretValue", h.secret)
	h.out.say("it is allowed again; the failure would be remembered for ten seconds, logout drops it too")
	return h.sh(ctx, logout, command{line: "docker pull " + h.image(), drop: progress, want: []string{"Image is up to date"}})
}
