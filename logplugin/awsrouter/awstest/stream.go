package awstest

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// How long the ids of records are that the services answer with.
const (
	recordID       = 224 // Firehose
	sequenceNumber = 56  // Kinesis
)

// Stream is Amazon Data Firehose or Amazon Kinesis Data Streams with one stream.
type Stream struct {
	*Server
	stream string
	put    string // the operation

	mu      sync.Mutex
	records []string
	keys    []string                   // of partitions, of records
	fail    func(record string) string // the code for a record that is not taken; "" = it is
}

// StartFirehose starts Firehose.
func StartFirehose(stream string) *Stream {
	return startStream("Firehose_20150804.", "PutRecordBatch", stream)
}

// StartKinesis starts Kinesis.
func StartKinesis(stream string) *Stream {
	return startStream("Kinesis_20131202.", "PutRecords", stream)
}

func startStream(target, put, stream string) *Stream {
	f := &Stream{stream: stream, put: put, fail: func(string) string { return "" }}
	f.Server = start(target, f.call)
	return f
}

// isKinesis reports whether it is Kinesis.
func (f *Stream) isKinesis() bool { return f.put == "PutRecords" }

// Keys returns the partition keys of what was taken, in order.
func (f *Stream) Keys() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.keys)
}

// SetFail makes it refuse single records with a code.
func (f *Stream) SetFail(fail func(record string) string) {
	f.mu.Lock()
	f.fail = fail
	f.mu.Unlock()
}

// Records returns what was taken, in order.
func (f *Stream) Records() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.records)
}

// Lines returns the member log of what was taken.
func (f *Stream) Lines() []string {
	var lines []string
	for _, r := range f.Records() {
		var record struct{ Log string }
		if json.Unmarshal([]byte(r), &record) == nil {
			lines = append(lines, record.Log)
		}
	}
	return lines
}

type putRecords struct {
	DeliveryStreamName string `json:",omitempty"`
	StreamName         string `json:",omitempty"`
	Records            []struct {
		Data         []byte
		PartitionKey *string `json:",omitempty"`
	}
}

func (f *Stream) call(operation string, body []byte) Answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	var r putRecords
	switch {
	case operation != f.put || json.Unmarshal(body, &r) != nil:
		return Answer{Code: "SerializationException"}
	case f.isKinesis() && r.DeliveryStreamName != "" || !f.isKinesis() && r.StreamName != "":
		return Answer{Code: "ValidationException", Message: "1 validation error detected: Value null at 'streamName' failed to satisfy constraint"}
	case r.DeliveryStreamName+r.StreamName != f.stream:
		return Answer{Code: "ResourceNotFoundException", Message: r.DeliveryStreamName + r.StreamName + " not found."}
	case len(r.Records) < 1 || len(r.Records) > 500:
		return Answer{Code: "ValidationException", Message: "1 validation error detected: Value at 'records' failed to satisfy constraint"}
	}
	if wrong := f.tooLarge(r); wrong.Code != "" {
		return wrong
	}
	each, failed := make([]any, len(r.Records)), 0
	var taken []int
	for i, record := range r.Records {
		if code := f.fail(string(record.Data)); code != "" {
			each[i] = map[string]string{"ErrorCode": code, "ErrorMessage": "Slow down."}
			failed++
			continue
		}
		taken = append(taken, i)
	}
	ids, refused := f.store(r, taken)
	if refused.Code != "" {
		return refused
	}
	for n, i := range taken {
		each[i] = ids[n]
	}
	if f.isKinesis() {
		return Answer{Body: map[string]any{"FailedRecordCount": failed, "Records": each}}
	}
	return Answer{Body: map[string]any{"FailedPutCount": failed, "RequestResponses": each}}
}

// store keeps the records of these places, or has the server behind this one keep them. It returns what the answer says of each.
func (f *Stream) store(r putRecords, places []int) (ids []any, refused Answer) {
	if f.behind != "" {
		return f.storeBehind(r, places)
	}
	for _, i := range places {
		f.records = append(f.records, string(r.Records[i].Data))
		if f.isKinesis() {
			f.keys = append(f.keys, *r.Records[i].PartitionKey)
			ids = append(ids, map[string]string{"SequenceNumber": strings.Repeat("4", sequenceNumber), "ShardId": "shardId-000000000000"})
			continue
		}
		ids = append(ids, map[string]string{"RecordId": strings.Repeat("r", recordID)})
	}
	return ids, Answer{}
}

func (f *Stream) storeBehind(r putRecords, places []int) (ids []any, refused Answer) {
	if len(places) == 0 {
		return nil, Answer{}
	}
	kept := putRecords{DeliveryStreamName: r.DeliveryStreamName, StreamName: r.StreamName}
	for _, i := range places {
		kept.Records = append(kept.Records, r.Records[i])
	}
	body, err := json.Marshal(kept)
	if err != nil {
		return nil, Answer{Code: "InternalFailure", Message: err.Error()}
	}
	a := f.forward(f.put, body)
	var said struct{ Records, RequestResponses []any }
	if raw, ok := a.Body.(json.RawMessage); a.Code != "" || !ok || json.Unmarshal(raw, &said) != nil {
		return nil, a
	}
	return append(said.Records, said.RequestResponses...), Answer{}
}

// tooLarge refuses a request by what the service says of sizes and keys.
func (f *Stream) tooLarge(r putRecords) Answer {
	size, most, mostRecord := 0, 4<<20, 1000<<10
	if f.isKinesis() {
		most, mostRecord = 5<<20, 1<<20
	}
	for _, record := range r.Records {
		n := len(record.Data)
		switch key := record.PartitionKey; {
		case f.isKinesis() != (key != nil):
			return Answer{Code: "SerializationException", Message: "a partition key"}
		case key != nil && (*key == "" || utf8.RuneCountInString(*key) > 256):
			return Answer{Code: "ValidationException", Message: "1 validation error detected: Value at 'records.1.member.partitionKey' failed to satisfy constraint"}
		case key != nil:
			n += len(*key)
		}
		if size += n; n > mostRecord || size > most {
			return Answer{Code: "InvalidArgumentException", Message: "a record or the request is too large"}
		}
	}
	return Answer{}
}
