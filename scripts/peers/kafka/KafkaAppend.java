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
 * its producer sends the next. One line of JSON for each number of producers, number of
 * partitions and form.
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
        bench.measure(64, 4, Form.TASKS);
        for (int count : counts) {
            for (int partitions : PARTITIONS) {
                for (Form form : Form.values()) {
                    System.out.println(bench.measure(count, partitions, form));
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

    String measure(int count, int partitions, Form form) throws Exception {
        KafkaProducer<String, byte[]> client = connect(partitions);
        CountDownLatch running = new CountDownLatch(count);
        AtomicReference<Exception> failure = new AtomicReference<>();
        long started = System.nanoTime();
        long end = started + (long) (seconds * 1e9);
        List<Producer> producers = IntStream.range(0, count)
                .mapToObj(index -> new Producer(client, topic(partitions), index, end, running, failure))
                .toList();
        if (form == Form.THREADS) {
            producers.forEach(producer -> new Thread(producer::sendAll).start());
        } else {
            producers.forEach(Producer::sendNext);
        }
        running.await();
        double took = (System.nanoTime() - started) / 1e9;
        client.close();
        if (failure.get() != null) {
            throw failure.get();
        }
        int[] micros = producers.stream().flatMapToInt(Producer::latencies).sorted().toArray();
        return String.format(
                Locale.ROOT,
                "{\"producers\": %d, \"rate\": %.3f, \"p99\": %.3f, \"partitions\": %d, \"form\": \"%s\"}",
                count, micros.length / took, micros[(int) (micros.length * 0.99)] / 1e3,
                partitions, form.name().toLowerCase(Locale.ROOT));
    }

    /** How producers wait for their acknowledgements. All share one client: with a client each, Kafka is far slower. */
    enum Form {
        /** Each goes on from the callback, in the client's one thread. */
        TASKS,
        /** Each waits in a thread of its own. */
        THREADS
    }

    /** One closed loop. */
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

        /** In a thread of its own: waits for every acknowledgement. */
        void sendAll() {
            try {
                for (begun = System.nanoTime(); begun < end; begun = System.nanoTime()) {
                    client.send(next()).get();
                    acknowledged();
                }
            } catch (Exception exception) {
                failure.compareAndSet(null, exception);
            }
            running.countDown();
        }

        ProducerRecord<String, byte[]> next() {
            return new ProducerRecord<>(topic, "key-" + number + "-" + acknowledged % 16, body);
        }

        void acknowledged() {
            if (acknowledged == latencies.length) {
                latencies = Arrays.copyOf(latencies, 2 * acknowledged);
            }
            latencies[acknowledged++] = (int) ((System.nanoTime() - begun) / 1_000);
        }

        void sendNext() {
            begun = System.nanoTime();
            client.send(next(), this);
        }

        @Override
        public void onCompletion(RecordMetadata metadata, Exception exception) {
            if (exception != null) {
                failure.compareAndSet(null, exception);
                running.countDown();
                return;
            }
            acknowledged();
            if (System.nanoTime() < end) {
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
