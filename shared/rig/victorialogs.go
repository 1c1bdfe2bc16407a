package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/secretref/secretref/shared/porttest"
)

// VictoriaLogsOptions has nothing to choose.
type VictoriaLogsOptions struct{}

// VictoriaLogs is a log database that we did not write. It takes records in many protocols below its URL and answers
// queries about what has arrived: HEC at /services/collector, Datadog at /insert/datadog, Elasticsearch at
// /insert/elasticsearch, Loki at /insert/loki, OTLP at /insert/opentelemetry, JSON lines at /insert/jsonline, and syslog messages over TCP. It accepts
// every credential, and nothing that is older than seven days.
type VictoriaLogs struct {
	addr   string
	syslog string
	ports  [2]*porttest.Reservation // of the two
	dir    string
	proc   *process
}

// StartVictoriaLogs starts the server with an empty database, and returns once it answers.
func StartVictoriaLogs(ctx context.Context, _ VictoriaLogsOptions) (*VictoriaLogs, error) {
	dir, err := tempDir("vl")
	if err != nil {
		return nil, err
	}
	v := &VictoriaLogs{dir: dir}
	if err := v.start(ctx); err != nil {
		return nil, errors.Join(err, v.Stop())
	}
	return v, nil
}

func (v *VictoriaLogs) start(ctx context.Context) (err error) {
	for i := range v.ports {
		if v.ports[i], err = porttest.Reserve("tcp", loopback); err != nil {
			return err
		}
	}
	v.addr, v.syslog = v.ports[0].Address(), v.ports[1].Address()
	v.proc, err = startProcess("victoria-logs", v.dir, Env(v.dir), "victoria-logs",
		"-storageDataPath="+v.dir+"/data", "-httpListenAddr="+v.addr, "-syslog.listenAddr.tcp="+v.syslog, "-loggerLevel=WARN", "-memory.allowedBytes=64MiB")
	if err != nil {
		return err
	}
	return v.proc.ready(ctx, func(ctx context.Context) error {
		code, err := status(ctx, http.DefaultClient, v.URL()+"/health", "", "")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("status %d", code)
		}
		return err
	})
}

// URL is http://host:port.
func (v *VictoriaLogs) URL() string { return "http://" + v.addr }

// Syslog is host:port of its receiver of syslog messages over TCP.
func (v *VictoriaLogs) Syslog() string { return v.syslog }

// Query returns the records that a LogsQL query selects, among all that was accepted before. "*" is all of them. Each has
// its line as _msg, its time as _time and its stream as _stream.
func (v *VictoriaLogs) Query(ctx context.Context, query string) ([]map[string]string, error) {
	if err := v.get(ctx, "/internal/force_flush", nil, nil); err != nil {
		return nil, err
	}
	var records []map[string]string
	err := v.get(ctx, "/select/logsql/query", url.Values{"query": {query}}, func(body io.Reader) error {
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var record map[string]string
			if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
				return err
			}
			records = append(records, record)
		}
		return lines.Err()
	})
	return records, err
}

// Count returns how many records a LogsQL query selects.
func (v *VictoriaLogs) Count(ctx context.Context, query string) (int, error) {
	records, err := v.Query(ctx, query+" | stats count() n")
	if err != nil {
		return 0, err
	}
	if len(records) != 1 {
		return 0, fmt.Errorf("count of %s: %d answers, want 1", query, len(records))
	}
	return strconv.Atoi(records[0]["n"])
}

func (v *VictoriaLogs) get(ctx context.Context, path string, query url.Values, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL()+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	req.Close = true // leave no idle connection, and no goroutine, behind
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000)) // only to explain the status
		return fmt.Errorf("%s: %s: %s", path, res.Status, strings.TrimSpace(string(text)))
	}
	if read == nil {
		return nil
	}
	return read(res.Body)
}

// Log returns the server's output.
func (v *VictoriaLogs) Log() string { return v.proc.log() }

// Stop ends the server and removes its database.
func (v *VictoriaLogs) Stop() error {
	var err error
	if v.proc != nil {
		err = v.proc.stop(5 * time.Second)
	}
	return errors.Join(err, v.ports[0].Close(), v.ports[1].Close(), os.RemoveAll(v.dir))
}
