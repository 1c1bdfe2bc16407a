//go:build integration

package awsrouter_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// moto is an implementation of the services that we did not write.
type moto struct{ url string }

// call calls an operation of a service, and reads its answer.
func (m moto) call(t *testing.T, target string, request, answer any) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	a := awstest.Call(m.url, target, body)
	if a.Code != "" {
		t.Fatalf("%s: %s: %s", target, a.Code, a.Message)
	}
	if answer == nil {
		return
	}
	if raw, ok := a.Body.(json.RawMessage); !ok || json.Unmarshal(raw, answer) != nil {
		t.Fatalf("%s answers %s", target, raw)
	}
}

// s3 makes a request to moto's S3.
func (m moto) s3(t *testing.T, method, path string) []byte {
	return awstest.CallS3(t, m.url, method, path)
}

// logs are the lines of records that lie one behind the other.
func logs(t *testing.T, text []byte) (lines []string) {
	t.Helper()
	for one := range strings.Lines(string(text)) {
		var record struct{ Log string }
		if err := json.Unmarshal([]byte(one), &record); err != nil {
			t.Fatalf("%q: %v", one, err)
		}
		lines = append(lines, record.Log)
	}
	return lines
}

type object = map[string]any

// prepare makes the place in moto, and returns what reads the lines in it.
func (m moto) prepare(t *testing.T, service, place string) func(*testing.T) []string {
	switch service {
	case "kinesis":
		m.call(t, "Kinesis_20131202.CreateStream", object{"StreamName": place, "ShardCount": 1}, nil)
		return func(t *testing.T) []string {
			var at struct{ ShardIterator string }
			m.call(t, "Kinesis_20131202.GetShardIterator", object{"StreamName": place, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}, &at)
			var got struct{ Records []struct{ Data []byte } }
			m.call(t, "Kinesis_20131202.GetRecords", object{"ShardIterator": at.ShardIterator}, &got)
			var all []byte
			for _, r := range got.Records {
				all = append(all, r.Data...)
			}
			return logs(t, all)
		}
	case "firehose":
		m.s3(t, http.MethodPut, "/"+place)
		m.call(t, "Firehose_20150804.CreateDeliveryStream", object{"DeliveryStreamName": place, "ExtendedS3DestinationConfiguration": object{
			"RoleARN": "arn:aws:iam::111122223333:role/logs", "BucketARN": "arn:aws:s3:::" + place,
		}}, nil)
		return func(t *testing.T) []string {
			var list struct{ Contents []struct{ Key string } }
			if err := xml.Unmarshal(m.s3(t, http.MethodGet, "/"+place), &list); err != nil {
				t.Fatal(err)
			}
			var all []byte
			for _, o := range list.Contents {
				all = append(all, m.s3(t, http.MethodGet, "/"+place+"/"+o.Key)...)
			}
			return logs(t, all)
		}
	}
	return func(t *testing.T) (lines []string) {
		for _, name := range []string{"one", "two"} {
			var got struct {
				Events []struct{ Message string }
			}
			m.call(t, "Logs_20140328.GetLogEvents", object{"logGroupName": place, "logStreamName": routertest.Session(name).ContainerID, "startFromHead": true}, &got)
			for _, e := range got.Events {
				lines = append(lines, e.Message)
			}
		}
		return lines
	}
}

// behind puts moto behind a service's faults.
func (m moto) behind(t *testing.T, s service, place string) *receiver {
	r := s.start(place)
	r.Behind(m.url)
	r.lines = m.prepare(t, s.name, place)
	if r.remove != nil {
		r.remove = func(t *testing.T, stream string) {
			if stream == "" {
				m.call(t, "Logs_20140328.DeleteLogGroup", object{"logGroupName": place}, nil)
				return
			}
			m.call(t, "Logs_20140328.DeleteLogStream", object{"logGroupName": place, "logStreamName": stream}, nil)
		}
	}
	return r
}

// rejected sends lines of which one is too new: it is counted, and the other is stored. (moto counts those that are too old from another end
// than AWS does.)
func (m moto) rejected(t *testing.T, s service) {
	u := s.on(t, "ages", m.behind(t, s, "ages"), nil)
	if got := u.deliver(t, 1); len(got) > 0 {
		t.Errorf("failures %q", got)
	}
	b := &router.Batch{}
	for i, ahead := range []time.Duration{0, 5 * time.Hour} {
		b.Append(u.encoders[0], &router.Record{TimeNano: time.Now().Add(ahead).UnixNano(), Line: fmt.Append(nil, i)})
	}
	if e := routertest.Send(t, u.router, b); routertest.ClassOf(e) != router.ClassBadRecords || e.Delivered != 1 || !slices.Equal(e.Outcomes, []router.Outcome{router.Discarded}) {
		t.Errorf("%+v, want that the second is discarded", e)
	}
	if got := u.receiver.lines(t); !slices.Equal(got, []string{"0 0000", "0", "1 0000"}) {
		t.Errorf("stored are %q", got)
	}
}

// TestMoto has the faults happen in front of moto, after more lines than a request may have, which moto has to store.
func TestMoto(t *testing.T) {
	m := moto{rig.Use(t, rig.StartMoto, rig.MotoOptions{}).URL()}
	each(t, func(t *testing.T, s service) {
		t.Run("many", func(t *testing.T) {
			u := s.on(t, "many", m.behind(t, s, "many"), nil)
			if failures := u.deliver(t, 600); len(failures) > 0 {
				t.Errorf("failures %q", failures)
			}
			u.stored(t, 1, false)
		})
		if s.name == "awslogs" {
			t.Run("ages", func(t *testing.T) { m.rejected(t, s) })
		}
		for i, f := range faults() {
			place := fmt.Sprint("place-", i)
			if !f.real || !f.of(s) {
				continue
			}
			t.Run(f.name, func(t *testing.T) { f.try(t, s.on(t, place, m.behind(t, s, place), nil)) })
		}
	})
}
