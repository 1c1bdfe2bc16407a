package logplugin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/secretref/secretref/logplugin/session"
)

const watchPause = 2 * time.Second

// status shows the sessions once, or with --watch until ctx ends.
func (p Program) status(ctx context.Context, f flags) error {
	client := p.client(f)
	for {
		all, err := client.Status(ctx)
		if f.watch && ctx.Err() != nil {
			return nil
		}
		if err != nil && !f.watch {
			return err
		}
		var page bytes.Buffer
		switch {
		case err != nil: // it may come back
			fmt.Fprintln(&page, err)
		case f.json:
			err = json.NewEncoder(&page).Encode(all)
		default:
			err = writeStatus(&page, all)
		}
		if err != nil && !f.watch {
			return err
		}
		if f.watch && !f.json {
			page = *bytes.NewBuffer(append([]byte("\x1b[H\x1b[2J"), page.Bytes()...)) // from the top of an empty screen
		}
		if _, err := page.WriteTo(p.Stdout); err != nil {
			return err
		}
		if !f.watch {
			if slices.ContainsFunc(all, func(s session.Status) bool { return !s.IsWell() }) {
				return errAttention
			}
			return nil
		}
		pause := time.NewTimer(watchPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

func writeStatus(w io.Writer, all []session.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tCONTAINER\tROUTER\tSTATE\tSPOOL\tWAITING\tAGE\tSENT\tDROPPED\tREJECTED\tLAST ERROR")
	for _, s := range all {
		name, router := s.ContainerName, s.Router
		if name == "" {
			name = s.ContainerID[:min(len(s.ContainerID), 12)]
		}
		if router == "" {
			router = "?"
		}
		if s.Address != "" {
			router += " " + s.Address
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%v\t%d\t%d\t%d\t%s\n", s.Session, name, router, s.State, s.Mode,
			inBytes(s.WaitingBytes), s.WaitingFor.Round(time.Second), s.SentLines, s.DroppedLines, s.RejectedLines, s.LastError)
	}
	return t.Flush()
}

// inBytes shows a size for people.
func inBytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

func (p Program) forget(ctx context.Context, f flags) error {
	st, err := p.client(f).Forget(ctx, f.id, session.Forgetting{Discard: f.discard, Force: f.force})
	if err != nil {
		return err
	}
	rest := "are still to be delivered"
	if f.discard {
		rest = "are given up"
	}
	_, err = fmt.Fprintf(p.Stdout, "session %s of container %s is not read any more; %s of its log %s\n", st.Session, st.ContainerName, inBytes(st.WaitingBytes), rest)
	return err
}
