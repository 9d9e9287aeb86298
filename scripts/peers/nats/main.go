// Closed-loop producers against NATS JetStream, for scripts/bench-append.py: every record is acknowledged before its producer
// sends the next. One line of JSON for each number of producers and each way to write them.
//
// Usage: nats-append URL SECONDS BYTES COUNT...
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type way struct {
	name  string
	own   bool
	async bool
}

var ways = []way{
	{"Publish, one connection", false, false},
	{"Publish, a connection each", true, false},
	{"PublishAsync, one connection", false, true},
}

type run struct {
	Producers int     `json:"producers"`
	Rate      float64 `json:"rate"`
	P99       float64 `json:"p99"`
	Way       string  `json:"way"`
}

type bench struct {
	url    string
	length time.Duration
	body   []byte
}

func main() {
	log.SetPrefix("nats-append: ")
	seconds := number(os.Args[2])
	bench := bench{os.Args[1], time.Duration(seconds) * time.Second, slices.Repeat([]byte{7}, number(os.Args[3]))}
	bench.createStream()
	for _, count := range os.Args[4:] {
		for _, way := range ways {
			check(json.NewEncoder(os.Stdout).Encode(bench.measure(number(count), way)))
		}
	}
}

// Waits for a server that has just been started.
func (bench bench) connect() jetstream.JetStream {
	connection, err := nats.Connect(bench.url, nats.RetryOnFailedConnect(true), nats.ReconnectWait(100*time.Millisecond))
	check(err)
	check(connection.FlushTimeout(30 * time.Second))
	stream, err := jetstream.New(connection)
	check(err)
	return stream
}

func (bench bench) createStream() {
	stream := bench.connect()
	defer stream.Conn().Close()
	_, err := stream.CreateStream(context.Background(), jetstream.StreamConfig{
		Name:     "append",
		Subjects: []string{"append.>"},
		Storage:  jetstream.FileStorage,
		Replicas: 1,
	})
	check(err)
}

func (bench bench) measure(producers int, way way) run {
	streams := make([]jetstream.JetStream, producers)
	for producer := range producers {
		if producer == 0 || way.own {
			streams[producer] = bench.connect()
			defer streams[producer].Conn().Close()
		} else {
			streams[producer] = streams[0]
		}
	}

	latencies := make([][]time.Duration, producers)
	var wait sync.WaitGroup
	started := time.Now()
	for producer, stream := range streams {
		wait.Go(func() {
			for count := 0; time.Since(started) < bench.length; count++ {
				subject := fmt.Sprintf("append.key-%d-%d", producer, count%16)
				begun := time.Now()
				check(bench.publish(stream, way, subject))
				latencies[producer] = append(latencies[producer], time.Since(begun))
			}
		})
	}
	wait.Wait()
	took := time.Since(started).Seconds()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	p99 := all[int(float64(len(all))*0.99)]
	return run{producers, float64(len(all)) / took, float64(p99.Microseconds()) / 1e3, way.name}
}

// Returns when the server has acknowledged the record.
func (bench bench) publish(stream jetstream.JetStream, way way, subject string) error {
	if !way.async {
		_, err := stream.Publish(context.Background(), subject, bench.body)
		return err
	}
	future, err := stream.PublishAsync(subject, bench.body)
	if err != nil {
		return err
	}
	select {
	case <-future.Ok():
		return nil
	case err := <-future.Err():
		return err
	}
}

func number(text string) int {
	number, err := strconv.Atoi(text)
	check(err)
	return number
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
