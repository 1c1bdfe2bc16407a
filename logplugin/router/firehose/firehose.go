// Package firehose sends container logs to a stream of Amazon Data Firehose.
//
// Use it through package router. Package records has what it shares with the router to Kinesis, and says what it promises.
//
// Protocol: https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html
package firehose

import (
	"github.com/secretref/secretref/logplugin/awsrouter"
	"github.com/secretref/secretref/logplugin/awsrouter/records"
	"github.com/secretref/secretref/logplugin/router"
)

// Kind describes the router on a host.
func Kind(h *awsrouter.Host) router.Kind {
	return records.Stream{
		Service: awsrouter.Service{Name: "firehose", SDKID: "Firehose", Target: "Firehose_20150804.", Prefix: "firehose", Resource: "deliverystream/"},
		Title:   "Firehose", Operation: "PutRecordBatch", Member: "DeliveryStreamName", Taken: "RecordId",
		Longest: 64, MaxBytes: 4 << 20, Compressions: []string{"gzip", "snappy"},
	}.Kind(h)
}
