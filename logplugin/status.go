package logplugin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secretref/secretref/logplugin/control"
	"github.com/secretref/secretref/logplugin/requests"
	"github.com/secretref/secretref/logplugin/session"
	"github.com/secretref/secretref/logplugin/spool"
	"github.com/secretref/secretref/logplugin/volume"
)

const watchPause = 2 * time.Second

// attentionError is what status returns when the driver answers, and a person should look.
type attentionError []string

func (a attentionError) Error() string { return "attention: " + strings.Join(a, "; ") }

// status shows the sessions once, or with --watch until ctx ends.
func (p Program) status(ctx context.Context, f flags) error {
	client := p.client(f)
	if f.watch {
		return p.watch(ctx, client, f)
	}
	report, err := client.ReportOfStarting(ctx)
	if err != nil {
		return err
	}
	if f.json {
		err = json.NewEncoder(p.Stdout).Encode(report)
	} else {
		err = writeStatus(p.Stdout, report)
	}
	if err == nil && len(report.Attention) > 0 {
		return attentionError(report.Attention)
	}
	return err
}

// watch shows a page every two seconds until ctx ends. A driver that does not answer may come back.
func (p Program) watch(ctx context.Context, client *control.Client, f flags) error {
	again := time.NewTicker(watchPause)
	defer again.Stop()
	var rates rates
	for {
		var page bytes.Buffer
		report, err := client.Report(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case err != nil:
			fmt.Fprintln(&page, err)
		case f.json:
			err = json.NewEncoder(&page).Encode(report)
		default:
			err = writeWatch(&page, report, rates.next(report.Sessions, time.Now()))
		}
		if err != nil && page.Len() == 0 {
			return err
		}
		text := page.String()
		if !f.json {
			text = "\x1b[H\x1b[2J" + cut(text, p.width()) // from the top of an empty screen
		}
		if _, err := io.WriteString(p.Stdout, text); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// rates is how many lines each session had sent when it was last seen.
type rates struct {
	at   time.Time
	sent map[string]int64
}

// next returns the lines per second of each session since the call before. A session that is new has none.
func (r *rates) next(all []session.Status, now time.Time) map[string]float64 {
	found, sent := map[string]float64{}, map[string]int64{}
	for _, s := range all {
		sent[s.Session] = s.SentLines
		if before, ok := r.sent[s.Session]; ok && now.After(r.at) {
			found[s.Session] = max(0, float64(s.SentLines-before)/now.Sub(r.at).Seconds())
		}
	}
	r.at, r.sent = now, sent
	return found
}

// writeWatch shows the sessions that a person should look at first: the line of reasons, then parked ones, those with an
// error or in memory, and the longest waiting.
func writeWatch(w io.Writer, report control.Report, rates map[string]float64) error {
	if len(report.Attention) > 0 {
		fmt.Fprintln(w, attentionError(report.Attention))
	}
	all := slices.Clone(report.Sessions)
	slices.SortStableFunc(all, func(a, b session.Status) int {
		return cmp.Or(cmp.Compare(badness(b), badness(a)), cmp.Compare(b.WaitingFor, a.WaitingFor), cmp.Compare(rates[b.Session], rates[a.Session]))
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tCONTAINER\tSTATE\tLINES/S\tWAITING\tAGE\tDROPPED\tROUTER\tLAST ERROR")
	for _, s := range all {
		rate := "-"
		if r, ok := rates[s.Session]; ok {
			rate = strconv.FormatFloat(r, 'f', 1, 64)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%v\t%d\t%s\t%s\n", s.Session, containerName(s), s.State, rate, inBytes(s.WaitingBytes),
			s.WaitingFor.Round(time.Second), s.DroppedLines, routerName(s), lastError(s))
	}
	return t.Flush()
}

// lastError is what is wrong with a session, or else what a person should know.
func lastError(s session.Status) string {
	if s.LastError == "" && s.Note != "" {
		return "note: " + s.Note
	}
	return s.LastError
}

// badness is 0 for a session that is well.
func badness(s session.Status) int {
	switch {
	case s.State == session.Parked:
		return 3
	case s.LastError != "":
		return 2
	case s.Mode == spool.Memory:
		return 1
	}
	return 0
}

// width is that of the terminal; 0 means that there is none.
func (p Program) width() int {
	if n, err := strconv.Atoi(p.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if f, ok := p.Stdout.(interface{ Fd() uintptr }); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil { //nolint:gosec // a file descriptor
			return int(size.Col)
		}
	}
	return 0
}

// cut shortens each line of text to width characters; 0 leaves it.
func cut(text string, width int) string {
	if width <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if r := []rune(strings.TrimSuffix(line, "\n")); len(r) > width {
			line = string(r[:width]) + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

func containerName(s session.Status) string {
	return cmp.Or(s.ContainerName, s.ContainerID[:min(len(s.ContainerID), 12)])
}

func routerName(s session.Status) string {
	name := strings.TrimSpace(cmp.Or(s.Router, "?") + " " + s.Address)
	if s.NotVerified {
		name += " (not verified)"
	}
	return name
}

func writeStatus(w io.Writer, report control.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tCONTAINER\tROUTER\tSTATE\tSPOOL\tWAITING\tAGE\tSENT\tDROPPED\tREJECTED\tFILTERED\tLIMITED\tLAST ERROR")
	for _, s := range report.Sessions {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%v\t%d\t%d\t%d\t%d\t%d\t%s\n", s.Session, containerName(s), routerName(s), s.State, s.Mode,
			inBytes(s.WaitingBytes), s.WaitingFor.Round(time.Second), s.SentLines, s.DroppedLines, s.RejectedLines, s.FilteredLines, s.LimitedLines, lastError(s))
	}
	if err := errors.Join(t.Flush(), writeVolumes(w, report.Volumes), writeRequests(w, "SWARM SECRET", report.Swarm), writeRequests(w, "VARIABLES OF", report.Variables)); err != nil || report.History.Bytes == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "kept for docker logs: %s of %d containers\n", inBytes(report.History.Bytes), report.History.Containers)
	return err
}

// writeVolumes shows the volumes, if there are any.
func writeVolumes(w io.Writer, all []volume.Status) error {
	if len(all) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VOLUME\tMOUNTED\tFILES\tMISSING\tCHANGED\tREAD\tLAST ERROR")
	for _, v := range all {
		fmt.Fprintf(t, "%s\t%v\t%d\t%d\t%s\t%s\t%s\n", v.Name, v.Mounted, len(v.References), len(v.Missing), ago(v.Written), ago(v.Checked), v.LastError)
	}
	fmt.Fprintln(t, "A volume keeps the options that it was created with: to change them, remove it and create it again.")
	return t.Flush()
}

// ago shows how long ago at was; "-" when it was never.
func ago(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return time.Since(at).Round(time.Second).String()
}

// writeRequests shows who has asked for secrets, if anybody has.
func writeRequests(w io.Writer, who string, all []requests.Status) error {
	if len(all) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, who+"\tREFERENCES\tASKED\tLAST ERROR")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", s.Name, strings.Join(s.References, " "), ago(s.Asked), s.LastError)
	}
	return t.Flush()
}

// refresh reads the values of volumes again.
func (p Program) refresh(ctx context.Context, f flags) error {
	n, err := p.client(f).Refresh(ctx, f.id)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "volumes with the present values: %d\n", n)
	return err
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
	if f.forget.volume {
		if err := p.client(f).ForgetVolume(ctx, f.id, f.forget.force); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.Stdout, "volume %s is removed\n", f.id)
		return err
	}
	if f.forget.ended {
		deleted, err := p.client(f).ForgetEnded(ctx, f.id)
		if err == nil {
			_, err = fmt.Fprintf(p.Stdout, "deleted what was kept for docker logs: %s of %d containers\n", inBytes(deleted.Bytes), deleted.Containers)
		}
		return err
	}
	st, err := p.client(f).Forget(ctx, f.id, session.Forgetting{Discard: f.forget.discard, Force: f.forget.force})
	if err != nil {
		return err
	}
	rest := "are still to be delivered"
	if f.forget.discard {
		rest = "are given up"
	}
	_, err = fmt.Fprintf(p.Stdout, "session %s of container %s is not read any more; %s of its log %s\n", st.Session, st.ContainerName, inBytes(st.WaitingBytes), rest)
	return err
}
