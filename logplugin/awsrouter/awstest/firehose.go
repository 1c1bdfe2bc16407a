package awstest

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// recordID is how long the ids of records are that Firehose answers with.
const recordID = 224

// Firehose is Amazon Data Firehose with one stream.
type Firehose struct {
	*Server
	stream string

	mu      sync.Mutex
	records []string
	fail    func(record string) string // the code for a record that is not taken; "" = it is
}

// StartFirehose starts it.
func StartFirehose(stream string) *Firehose {
	f := &Firehose{stream: stream, fail: func(string) string { return "" }}
	f.Server = start("Firehose_20150804.", f.call)
	return f
}

// SetFail makes it refuse single records with a code.
func (f *Firehose) SetFail(fail func(record string) string) {
	f.mu.Lock()
	f.fail = fail
	f.mu.Unlock()
}

// Records returns what was taken, in order.
func (f *Firehose) Records() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.records)
}

// Lines returns the member log of what was taken.
func (f *Firehose) Lines() []string {
	var lines []string
	for _, r := range f.Records() {
		var record struct{ Log string }
		if json.Unmarshal([]byte(r), &record) == nil {
			lines = append(lines, record.Log)
		}
	}
	return lines
}

func (f *Firehose) call(operation string, body []byte) Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	var r struct {
		DeliveryStreamName string
		Records            []struct{ Data []byte }
	}
	switch {
	case operation != "PutRecordBatch" || json.Unmarshal(body, &r) != nil:
		return Answer{Code: "SerializationException"}
	case r.DeliveryStreamName != f.stream:
		return Answer{Code: "ResourceNotFoundException", Message: "Firehose " + r.DeliveryStreamName + " not found."}
	case len(r.Records) < 1 || len(r.Records) > 500:
		return Answer{Code: "ValidationException", Message: "1 validation error detected: Value at 'records' failed to satisfy constraint"}
	}
	size, failed := 0, 0
	var each []map[string]string
	var taken []string
	for _, record := range r.Records {
		if size += len(record.Data); len(record.Data) > 1000<<10 || size > 4<<20 || !strings.HasSuffix(string(record.Data), "\n") {
			return Answer{Code: "InvalidArgumentException", Message: "a record or the request is too large"}
		}
		if code := f.fail(string(record.Data)); code != "" {
			each = append(each, map[string]string{"ErrorCode": code, "ErrorMessage": "Slow down."})
			failed++
			continue
		}
		each = append(each, map[string]string{"RecordId": strings.Repeat("r", recordID)})
		taken = append(taken, string(record.Data))
	}
	f.records = append(f.records, taken...)
	return Answer{Body: map[string]any{"FailedPutCount": failed, "RequestResponses": each}}
}
