//go:build integration

package records_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/awstest"
	"github.com/secretref/secretref/logplugin/router"
	"github.com/secretref/secretref/logplugin/router/routertest"
	"github.com/secretref/secretref/shared/rig"
)

// moto is an implementation of both services that we did not write.
type moto struct {
	*testing.T
	url  string
	host *awsrouter.Host
}

// call calls one operation of a service, and reads its answer.
func (m *moto) call(service awsrouter.Service, operation, body string, answer any) {
	m.Helper()
	service.Answer = 1 << 20
	c := awsrouter.NewClient(m.host, awsrouter.ClientConfig{Service: service, Op: "test", List: service.Options()})
	defer c.Close()
	u, failed := c.Begin(m.Context())
	if failed != nil {
		m.Fatal(failed)
	}
	a, no := u.Call(m.Context(), operation, operation, []byte(body), http.Header{})
	if no != nil {
		m.Fatal(no.Error)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(a.Body, answer); err != nil {
		m.Fatal(err)
	}
}

// s3 makes a request to moto's S3, which wants to see who asks, and verifies no signature.
func (m *moto) s3(method, path string) []byte {
	m.Helper()
	r, err := http.NewRequestWithContext(m.Context(), method, m.url+path, nil)
	if err != nil {
		m.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+awstest.Old.ID+"/20261128/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		m.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != http.StatusOK {
		m.Fatalf("%s %s: %s, %v", method, path, a.Status, err)
	}
	return body
}

// kinesis makes the stream s of one shard, and returns what reads all records in it.
func (m *moto) kinesis() func(*moto) string {
	service := awsrouter.Service{Name: "kinesis", SDKID: "Kinesis", Target: "Kinesis_20131202.", Prefix: "kinesis"}
	m.call(service, "CreateStream", `{"StreamName":"s","ShardCount":1}`, nil)
	return func(m *moto) string {
		var at struct{ ShardIterator string }
		m.call(service, "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`, &at)
		var got struct{ Records []struct{ Data []byte } }
		iterator, err := json.Marshal(at.ShardIterator) // there is a line end in it
		if err != nil {
			m.Fatal(err)
		}
		m.call(service, "GetRecords", `{"ShardIterator":`+string(iterator)+"}", &got)
		var all strings.Builder
		for _, r := range got.Records {
			all.Write(r.Data)
		}
		return all.String()
	}
}

// firehose makes the stream s that ends in a bucket, and returns what reads all objects in it.
func (m *moto) firehose() func(*moto) string {
	service := awsrouter.Service{Name: "firehose", SDKID: "Firehose", Target: "Firehose_20150804.", Prefix: "firehose"}
	m.s3(http.MethodPut, "/logs")
	m.call(service, "CreateDeliveryStream", `{"DeliveryStreamName":"s","ExtendedS3DestinationConfiguration":{"RoleARN":"arn:aws:iam::111122223333:role/logs","BucketARN":"arn:aws:s3:::logs"}}`, nil)
	return func(m *moto) string {
		var list struct{ Contents []struct{ Key string } }
		if err := xml.Unmarshal(m.s3(http.MethodGet, "/logs"), &list); err != nil {
			m.Fatal(err)
		}
		var all strings.Builder
		for _, o := range list.Contents {
			all.Write(m.s3(http.MethodGet, "/logs/"+o.Key))
		}
		return all.String()
	}
}

// TestMoto sends more lines than a request may have, and reads them back as moto has stored them.
func TestMoto(t *testing.T) {
	server := rig.Use(t, rig.StartMoto, rig.MotoOptions{})
	m := &moto{t, server.URL(), awsrouter.NewHost(awstest.NewHome(t).Session(server.URL()))}
	stored := map[string]func(*moto) string{"kinesis": m.kinesis(), "firehose": m.firehose()}
	each(t, func(t *testing.T, s service) {
		c, err := s.kind(m.host).New(router.Options{Plain: map[string]string{s.name + "-stream": "s"}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := c.Encoder(t.Context(), routertest.Session("web"))
		if err != nil {
			t.Fatal(err)
		}
		r := c.Router()
		t.Cleanup(func() { _ = r.Close() })
		b, lines := routertest.Batch([]router.Encoder{e}, maxRecords+100)
		if err := r.Send(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		var got []string
		for text := range strings.Lines(stored[s.name](&moto{t, m.url, m.host})) {
			var record struct{ Log string }
			if err := json.Unmarshal([]byte(text), &record); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			got = append(got, record.Log)
		}
		slices.Sort(got) // objects of a bucket are listed by name
		slices.Sort(lines)
		if !slices.Equal(got, lines) {
			t.Errorf("%d lines are stored, want %d", len(got), len(lines))
		}
	})
}
