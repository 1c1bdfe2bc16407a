package rig

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"slices"
)

// addBridge makes a bridge with an address of a network that nobody here is in, and returns the address.
func addBridge(ctx context.Context, name string) (string, error) {
	ip, err := freeIP()
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"ip", "link", "add", name, "type", "bridge"},
		{"ip", "addr", "add", ip + "/24", "dev", name},
		{"ip", "link", "set", name, "up"},
	} {
		if _, err := (Cmd{Args: args}).Run(ctx); err != nil {
			return "", err
		}
	}
	return ip, nil
}

// freeIP returns the first address of a /24 in 10.128.0.0/9 that no interface here is in.
func freeIP() (string, error) {
	used, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for range 100 {
		var b [2]byte
		_, _ = rand.Read(b[:]) // never fails
		ip := net.IPv4(10, 128|b[0], b[1], 1)
		taken := slices.ContainsFunc(used, func(u net.Addr) bool {
			n, ok := u.(*net.IPNet)
			return ok && n.Contains(ip)
		})
		if !taken {
			return ip.String(), nil
		}
	}
	return "", errors.New("no free network in 10.128.0.0/9")
}

// removeLink deletes the interface if it is there.
func removeLink(ctx context.Context, name string) error {
	if _, err := net.InterfaceByName(name); err != nil {
		return nil
	}
	_, err := Cmd{Args: []string{"ip", "link", "del", name}}.Run(ctx)
	return err
}
