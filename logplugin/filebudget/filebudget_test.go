package filebudget

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestFor(t *testing.T) {
	for _, tt := range []struct {
		limit   int
		volumes bool
		runtime bool
		want    Budget
	}{
		{0, true, true, Budget{0, 16, 4, 2, 2, 2, 2, 4, 1, 1, 1}},
		{60, true, false, Budget{60, 16, 4, 2, 0, 2, 2, 5, 1, 27, 34}},
		{64, true, true, Budget{64, 16, 4, 2, 2, 2, 2, 6, 1, 28, 36}},
		{128, true, true, Budget{128, 16, 8, 4, 4, 4, 4, 12, 2, 72, 88}},
		{128, false, false, Budget{128, 16, 8, 0, 0, 4, 4, 12, 2, 80, 96}},
		{1024, true, true, Budget{1024, 24, 64, 32, 32, 8, 8, 96, 16, 728, 832}},
		{65536, true, false, Budget{65536, 24, 64, 32, 0, 8, 8, 512, 256, 64376, 64896}},
	} {
		got := For(tt.limit, tt.volumes, tt.runtime)
		if got != tt.want {
			t.Errorf("For(%d, %v) = %+v, want %+v", tt.limit, tt.volumes, got, tt.want)
		}
		if all := got.Fixed + got.Daemon + got.Volumes + got.Runtime + got.Status + got.Metrics + got.Destinations + 2*got.Readers + got.Sessions; tt.limit > 32 && all != tt.limit {
			t.Errorf("For(%d): the parts are %d files together", tt.limit, all)
		}
		if got.Accepted < got.Sessions {
			t.Errorf("For(%d): accepted sessions may have %d files, and new ones %d", tt.limit, got.Accepted, got.Sessions)
		}
	}
}

// The soft limit of this process is lowered first: the Go runtime raises it by itself at the start of a program.
func TestRaise(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
	low := unix.Rlimit{Cur: 100, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	limit, err := Raise()
	var now unix.Rlimit
	if gerr := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); gerr != nil {
		t.Fatal(gerr)
	}
	want := min(before.Max, most)
	if err != nil || now.Cur != want || uint64(limit) != want { //nolint:gosec // not negative
		t.Errorf("Raise() = %d, %v, and the soft limit is %d, want %d", limit, err, now.Cur, want)
	}
	if again, err := Raise(); err != nil || again != limit {
		t.Errorf("a second Raise() = %d, %v, want %d", again, err, limit)
	}
}
