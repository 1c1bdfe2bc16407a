package main

import (
	"context"
	"errors"
	"fmt"
)

func (h *host) image() string { return h.privateN + "/hello" }

// remove takes the image off the host, so that the next pull fetches it.
func (h *host) remove(ctx context.Context, image string) error {
	_, err := h.dockerd.Docker(ctx, "image", "rm", "-f", image)
	return err
}

func push(ctx context.Context, h *host) error {
	if err := h.dockerd.Import(ctx, h.image(), h.dir+"/bin/hello"); err != nil {
		return err
	}
	h.out.say("the image holds one static program; the owner types the password")
	err := h.sh(ctx,
		command{owner: true, stdin: h.old.Value(), line: "docker login --username " + user + " --password-stdin " + h.privateN,
			want: []string{"Login Succeeded"}, drop: []string{"WARNING", "Configure a credential helper", "credentials-store", "credential-stores"}},
		command{owner: true, line: "docker push --quiet " + h.image(), want: []string{h.image()}},
		command{owner: true, line: "docker logout " + h.privateN},
	)
	if err != nil {
		return err
	}
	return h.remove(ctx, h.image())
}

func pullWithout(ctx context.Context, h *host) error {
	return h.sh(ctx, command{line: "docker pull " + h.image(), fails: true, want: []string{"no basic auth credentials"}, drop: progress})
}

func pull(ctx context.Context, h *host) error {
	return h.sh(ctx,
		command{line: "docker pull " + h.image(), want: []string{"Downloaded newer image"}, drop: progress},
		command{line: "docker run --rm --network none " + h.image(), want: []string{"hello from a private image"}},
	)
}

func pullCached(ctx context.Context, h *host) error {
	before := h.reads()
	if err := h.remove(ctx, h.image()); err != nil {
		return err
	}
	err := h.sh(ctx,
		command{line: "docker pull " + h.image(), want: []string{"Downloaded newer image"}, drop: progress},
		command{line: "docker-credential-secretref explain " + h.privateN + " | grep cache:", want: []string{"a value version "}},
	)
	if err != nil {
		return err
	}
	h.out.say("GetSecretValue calls before: %d, after: %d", before, h.reads())
	return h.wantReads(before)
}

func anonymous(ctx context.Context, h *host) error {
	h.mirror.password.Store(h.new)
	err := h.sh(ctx,
		command{line: "docker-credential-secretref configure docker --all", want: []string{"credsStore"}},
		command{line: "echo " + h.pubN + " | docker-credential-secretref get", fails: true, want: []string{"credentials not found in native keychain"}},
		command{line: "docker pull " + h.pubN + "/hello", want: []string{"Downloaded newer image"}, drop: progress},
	)
	if err != nil {
		return err
	}
	if h.mirror.credentials.Load() {
		return fmt.Errorf("%s was sent a password", h.pubN)
	}
	h.out.say("no request to %s carried an Authorization header", h.pubN)
	return nil
}

// reads counts the calls that have asked AWS for the password.
func (h *host) reads() int { return h.aws.CountCalls("GetSecretValue") }

func (h *host) wantReads(n int) error {
	if got := h.reads(); got != n {
		return fmt.Errorf("GetSecretValue was called %d times in all, want %d", got, n)
	}
	if h.aws.CountCalls("AssumeRole") != 0 {
		return errors.New("a role was assumed, and none is configured")
	}
	return nil
}
