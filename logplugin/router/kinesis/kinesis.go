// Package kinesis sends container logs to a stream of Amazon Kinesis Data Streams.
//
// Use it through package router. Package records has what it shares with the router to Firehose, and says what it promises. The
// partition key decides on the shard: all records of a container have the same, so that they are in one shard.
//
// Protocol: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
package kinesis

import (
	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/records"
	"github.com/secretref/secretref/logplugin/router"
)

// maxBytes is what Kinesis takes everywhere. It takes 10 MiB since 2025, which 500 records of usual lines do not fill.
const maxBytes = 5 << 20

// Kind describes the router on a host.
func Kind(h *awsrouter.Host) router.Kind {
	return records.Stream{
		Service: awsrouter.Service{Name: "kinesis", SDKID: "Kinesis", Target: "Kinesis_20131202.", Prefix: "kinesis", Resource: "stream/"},
		Title:   "Kinesis", Operation: "PutRecords", Member: "StreamName", Taken: "SequenceNumber",
		Longest: 128, MaxBytes: maxBytes, Keyed: true, Compressions: []string{"gzip", "zlib", "snappy"},
	}.Kind(h)
}
