package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/fakeaws"
	"github.com/secretref/secretref/shared/rig"
)

// files is the part of the story about secrets as files.
type files struct {
	values   string // the tmpfs
	password string // the secret's ARN
}

// makeValues makes the directory for the files of volumes, in memory.
func (f *files) makeValues(h *host) (err error) {
	f.values, err = os.MkdirTemp("/dev/shm", "secretref-demo-")
	h.later(func() error { return os.RemoveAll(f.values) })
	return err
}

// awaitPassword waits until the application has read this password.
func (h *host) awaitPassword(ctx context.Context, c *rig.Canary) error {
	want := fmt.Sprintf("%x", sha256.Sum256([]byte(c.Value())))
	return h.await(ctx, "the application reads its password", func() (bool, error) {
		r, err := rig.Cmd{Args: []string{"docker", "logs", "app"}, Env: h.env(), Timeout: 10 * time.Second}.Run(ctx)
		return strings.HasSuffix(strings.TrimSpace(r.Stdout), want), err
	})
}

func fileRun(ctx context.Context, h *host) error {
	h.oldFile, h.newFile = rig.NewCanary(), rig.NewCanary()
	h.logs.files.password = h.aws.PutSecret(fakeaws.Secret{Name: "app/db", String: `{"password":"` + h.oldFile.Value() + `"}`})
	if err := h.dockerd.Import(ctx, "watcher", h.dir+"/bin/watcher"); err != nil {
		return err
	}
	driver, reference := h.logs.name+"-files", h.logs.files.password+":password::"
	err := h.sh(ctx, command{line: "docker run --detach --name app --network none --user 1000 --mount type=volume,src=app-secrets,dst=/run/secrets," +
		"volume-driver=" + driver + ",volume-opt=secrets.password=" + reference + " watcher"})
	if err != nil {
		return err
	}
	if err := h.awaitPassword(ctx, h.oldFile); err != nil {
		return err
	}
	return h.sh(ctx,
		command{line: "docker logs app", want: []string{"password read, SHA-256 "}},
		command{line: "docker inspect --format '{{json .HostConfig.Mounts}}' app", want: []string{reference}},
		command{line: "docker volume inspect --format '{{json .Options}}' app-secrets", want: []string{reference}},
	)
}

func fileRotate(ctx context.Context, h *host) error {
	version := h.aws.RotateSecret(h.logs.files.password, `{"password":"`+h.newFile.Value()+`"}`)
	h.out.say("AWSCURRENT is now version %s; the file follows within the ttl, or at once when asked", version)
	err := h.sh(ctx, command{line: "secretref-logdriver refresh app-secrets --config etc/logs.toml", want: []string{"values: 1"}})
	if err != nil {
		return err
	}
	if err := h.awaitPassword(ctx, h.newFile); err != nil {
		return err
	}
	err = h.sh(ctx,
		command{line: "docker logs app", want: []string{"password read, SHA-256 "}},
		command{line: "secretref-logdriver status --config etc/logs.toml | grep -A1 VOLUME", want: []string{"app-secrets"}},
	)
	if err != nil {
		return err
	}
	if err := h.searchMemory(ctx); err != nil {
		return err
	}
	h.out.say("searched while the container runs: the daemon's data, /run, /var and /etc; the password is in the tmpfs %s alone", h.logs.files.values)
	return h.sh(ctx, command{line: "docker rm --force app && docker volume rm app-secrets"})
}

// searchMemory looks whether the password that the container has is on the tmpfs, and nowhere else.
func (h *host) searchMemory(ctx context.Context) error {
	found, err := h.newFile.FindInFiles(ctx, h.dir, h.logs.files.values, "/run", "/var", "/etc")
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("the search does not find the password in the tmpfs")
	}
	for _, path := range found {
		if !strings.HasPrefix(path, h.logs.files.values+"/") {
			return fmt.Errorf("the password is in %s", path)
		}
	}
	return nil
}
