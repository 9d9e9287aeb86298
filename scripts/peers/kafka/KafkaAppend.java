import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Closed-loop producers against a Kafka broker, for scripts/bench-append.py: every record is acknowledged (acks=all) before
 * its producer sends the next. One line of JSON for each number of producers and each way to set Kafka up for them.
 *
 * <p>Usage: java -cp 'libs/*' KafkaAppend.java BOOTSTRAP FLUSH_MESSAGES|default SECONDS BYTES COUNT...
 */
public class KafkaAppend {
    static final int[] PARTITIONS = {1, 4};

    final String bootstrap;
    final double seconds;
    final byte[] body;

    KafkaAppend(String bootstrap, double seconds, int bytes) {
        this.bootstrap = bootstrap;
        this.seconds = seconds;
        body = new byte[bytes];
        Arrays.fill(body, (byte) 7);
    }

    public static void main(String[] arguments) throws Exception {
        String flushMessages = arguments[1];
        KafkaAppend bench =
                new KafkaAppend(arguments[0], Double.parseDouble(arguments[2]), Integer.parseInt(arguments[3]));
        bench.createTopics(flushMessages.equals("default") ? Map.of() : Map.of("flush.messages", flushMessages));
        int[] counts = Arrays.stream(arguments).skip(4).mapToInt(Integer::parseInt).toArray();
        // Broker and client are compiled as they run: the first run counts for nothing.
        bench.measure(64, 4, false);
        for (int count : counts) {
            for (int partitions : PARTITIONS) {
                System.out.println(bench.measure(count, partitions, false));
                if (count > 1) {
                    System.out.println(bench.measure(count, partitions, true));
                }
            }
        }
    }

    /** Waits for a broker that has just been started. */
    void createTopics(Map<String, String> settings) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            for (int partitions : PARTITIONS) {
                NewTopic topic = new NewTopic(topic(partitions), Optional.of(partitions), Optional.empty());
                admin.createTopics(List.of(topic.configs(settings))).all().get();
            }
        }
    }

    static String topic(int partitions) {
        return "append-" + partitions;
    }

    KafkaProducer<String, byte[]> connect(int partitions) throws Exception {
        // A batch of 128 KiB holds what 64 producers have under way; the default of 16 KiB cuts it up and is slower.
        Map<String, Object> settings =
                Map.of("bootstrap.servers", bootstrap, "acks", "all", "linger.ms", "0", "batch.size", "131072");
        KafkaProducer<String, byte[]> client =
                new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer());
        for (int partition = 0; partition < partitions; partition++) {
            client.send(new ProducerRecord<>(topic(partitions), partition, "first", body)).get();
        }
        return client;
    }

    String measure(int count, int partitions, boolean own) throws Exception {
        List<KafkaProducer<String, byte[]>> clients = new ArrayList<>();
        for (int index = 0; index < (own ? count : 1); index++) {
            clients.add(connect(partitions));
        }
        CountDownLatch running = new CountDownLatch(count);
        AtomicReference<Exception> failure = new AtomicReference<>();
        long started = System.nanoTime();
        long end = started + (long) (seconds * 1e9);
        List<Producer> producers = IntStream.range(0, count)
                .mapToObj(index -> new Producer(
                        clients.get(index % clients.size()), topic(partitions), index, end, running, failure))
                .toList();
        producers.forEach(Producer::sendNext);
        running.await();
        double took = (System.nanoTime() - started) / 1e9;
        clients.forEach(KafkaProducer::close);
        if (failure.get() != null) {
            throw failure.get();
        }
        int[] micros = producers.stream().flatMapToInt(Producer::latencies).sorted().toArray();
        return String.format(
                Locale.ROOT,
                "{\"producers\": %d, \"rate\": %.3f, \"p99\": %.3f, \"way\": \"%d partition%s, %s\"}",
                count, micros.length / took, micros[(int) (micros.length * 0.99)] / 1e3,
                partitions, partitions == 1 ? "" : "s", own ? "a client each" : "one client");
    }

    /** One closed loop without a thread: from each acknowledgement to the next record, which is Kafka's fastest way. */
    class Producer implements Callback {
        final KafkaProducer<String, byte[]> client;
        final String topic;
        final int number;
        final long end;
        final CountDownLatch running;
        final AtomicReference<Exception> failure;
        int[] latencies = new int[1 << 12];
        int acknowledged;
        long begun;

        Producer(KafkaProducer<String, byte[]> client, String topic, int number, long end, CountDownLatch running,
                AtomicReference<Exception> failure) {
            this.client = client;
            this.topic = topic;
            this.number = number;
            this.end = end;
            this.running = running;
            this.failure = failure;
        }

        void sendNext() {
            begun = System.nanoTime();
            client.send(new ProducerRecord<>(topic, "key-" + number + "-" + acknowledged % 16, body), this);
        }

        @Override
        public void onCompletion(RecordMetadata metadata, Exception exception) {
            if (exception != null) {
                failure.compareAndSet(null, exception);
                running.countDown();
                return;
            }
            long now = System.nanoTime();
            if (acknowledged == latencies.length) {
                latencies = Arrays.copyOf(latencies, 2 * acknowledged);
            }
            latencies[acknowledged++] = (int) ((now - begun) / 1_000);
            if (now < end) {
                sendNext();
            } else {
                running.countDown();
            }
        }

        IntStream latencies() {
            return Arrays.stream(latencies, 0, acknowledged);
        }
    }
}
