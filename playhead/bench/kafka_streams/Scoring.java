import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The scoring job in Kafka Streams: samples in, a state store with a changelog, anomalies out.
 *
 * <p>The rules are those of playhead/bench/rules.py. The only argument is the task as JSON. It prints a JSON
 * line whenever more samples were taken, and ends when its standard input does.
 */
public final class Scoring {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final AtomicLong TAKEN = new AtomicLong();
    private static final int STATE_BYTES = 7 * Double.BYTES;
    private static final String STORE = "series";
    private static final long WATCH_MS = 20;

    /** One series: baseline, runs, open episode. */
    private static final class State {
        double mean;
        double variance;
        double count;
        double farRun;
        double flaggedRun;
        double normalRun;
        double openSeverity;

        static State of(byte[] bytes) {
            State state = new State();
            if (bytes == null) {
                return state;
            }
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            state.mean = buffer.getDouble();
            state.variance = buffer.getDouble();
            state.count = buffer.getDouble();
            state.farRun = buffer.getDouble();
            state.flaggedRun = buffer.getDouble();
            state.normalRun = buffer.getDouble();
            state.openSeverity = buffer.getDouble();
            return state;
        }

        byte[] bytes() {
            return ByteBuffer.allocate(STATE_BYTES)
                    .putDouble(mean)
                    .putDouble(variance)
                    .putDouble(count)
                    .putDouble(farRun)
                    .putDouble(flaggedRun)
                    .putDouble(normalRun)
                    .putDouble(openSeverity)
                    .array();
        }
    }

    /** The figures, and what a sample changes. */
    private static final class Rules {
        final double rate;
        final double scoringSamples;
        final double baselineSamples;
        final double high;
        final double critical;
        final double flaggedWeight;
        final double relearnAfter;
        final int[] openAfter = new int[4];
        final int clearAfter;
        final double relativeScale;
        final int worse;
        final double warnBound;
        final double criticalBound;
        final double noise;

        Rules(JsonNode figures) {
            rate = figures.get("rate").doubleValue();
            scoringSamples = figures.get("scoring_samples").doubleValue();
            baselineSamples = figures.get("baseline_samples").doubleValue();
            high = figures.get("high").doubleValue();
            critical = figures.get("critical").doubleValue();
            flaggedWeight = figures.get("flagged_weight").doubleValue();
            relearnAfter = figures.get("relearn_after").doubleValue();
            for (int i = 0; i < openAfter.length; i++) {
                openAfter[i] = figures.get("open_after").get(i).intValue();
            }
            clearAfter = figures.get("clear_after").intValue();
            relativeScale = figures.get("relative_scale").doubleValue();
            worse = figures.get("worse").intValue();
            warnBound = figures.get("warn_bound").doubleValue();
            criticalBound = figures.get("critical_bound").doubleValue();
            noise = figures.get("noise").doubleValue();
        }

        /** Judge and learn; returns null, or phase and severity as "start 4". */
        String step(State state, double value) {
            double scale = Math.max(
                    Math.sqrt(state.variance), Math.max(relativeScale * Math.abs(state.mean), noise));
            double difference = value - state.mean;
            double deviation = state.count >= scoringSamples ? difference / scale : 0.0;
            int severity = severity(deviation, state.count, value);

            String change = null;
            if (severity > 0) {
                state.flaggedRun++;
                state.normalRun = 0;
                if (state.openSeverity == 0) {
                    change = state.flaggedRun >= openAfter[severity - 1] ? "start " + severity : null;
                } else if (severity > state.openSeverity) {
                    change = "update " + severity;
                }
                if (change != null) {
                    state.openSeverity = Math.max(state.openSeverity, severity);
                }
            } else if (state.openSeverity == 0) {
                state.flaggedRun = 0;
                state.normalRun = 0;
            } else if (++state.normalRun >= clearAfter) {
                change = "end " + (int) state.openSeverity;
                state.flaggedRun = 0;
                state.normalRun = 0;
                state.openSeverity = 0;
            }
            learn(state, value, difference, deviation, scale);
            return change;
        }

        private void learn(State state, double value, double away, double deviation, double scale) {
            double difference = away;
            double weight = Math.max(rate, 1.0 / (state.count + 1.0));
            if (Math.abs(deviation) >= high) {
                state.farRun++;
                if (state.farRun >= relearnAfter) {
                    state.mean = value;
                    state.variance = 0.0;
                    state.count = 1.0;
                    state.farRun = 0;
                    return;
                }
                weight *= flaggedWeight;
                difference = Math.copySign(high * scale, difference);
            } else {
                state.farRun = 0;
            }
            double moved = weight * difference;
            state.mean += moved;
            state.variance = (1.0 - weight) * (state.variance + moved * difference);
            state.count += 1.0;
        }

        private int severity(double deviation, double count, double value) {
            double strength = deviation * worse >= 0.0 ? Math.abs(deviation) : 0.0;
            double crossed = (value - warnBound) / (criticalBound - warnBound);
            int beyond = crossed >= 1.0 ? 4 : crossed >= 0.0 ? 2 : 0;
            if (strength < high) {
                return beyond;
            }
            boolean young = count < baselineSamples;
            if (strength < critical) {
                return Math.max(young ? 1 : 3, beyond);
            }
            return Math.max(young ? 2 : 4, beyond);
        }
    }

    /** Scores the samples of its partition. */
    private static final class Scorer implements Processor<byte[], byte[], String, byte[]> {
        private final Rules rules;
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, byte[]> store;

        Scorer(Rules rules) {
            this.rules = rules;
        }

        @Override
        public void init(ProcessorContext<String, byte[]> given) {
            context = given;
            store = given.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                JsonNode value = JSON.readTree(record.value());
                Header encoding = record.headers().lastHeader("playhead-encoding");
                if (encoding == null) {
                    String series = new String(record.key(), StandardCharsets.UTF_8);
                    score(record, series, value.get("time_ms").longValue(), value.get("value").doubleValue(), 0);
                    TAKEN.incrementAndGet();
                    return;
                }
                JsonNode which = value.get("which");
                for (int i = 0; i < which.size(); i++) {
                    String series = value.get("series").get(which.get(i).intValue()).textValue();
                    long timeMs = value.get("time_ms").get(i).longValue();
                    score(record, series, timeMs, value.get("value").get(i).doubleValue(), i);
                }
                TAKEN.addAndGet(which.size());
            } catch (java.io.IOException error) {
                throw new IllegalStateException(error);
            }
        }

        private void score(Record<byte[], byte[]> record, String series, long timeMs, double value, int inside)
                throws java.io.IOException {
            State state = State.of(store.get(series));
            String change = rules.step(state, value);
            store.put(series, state.bytes());
            if (change == null) {
                return;
            }
            String[] words = change.split(" ");
            int severity = Integer.parseInt(words[1]);
            String service = series.substring(0, series.indexOf('/'));
            String metric = series.substring(series.indexOf('/') + 1).split("\\{")[0];
            var place = context.recordMetadata().orElseThrow();
            Map<String, Object> anomaly = new LinkedHashMap<>();
            anomaly.put("time_ms", timeMs);
            anomaly.put("id", place.partition() + "-" + place.offset() + "-" + inside + "-" + words[0]);
            anomaly.put("subject", service);
            anomaly.put("series", series);
            anomaly.put("phase", words[0]);
            anomaly.put("kind", "latency_spike");
            anomaly.put("severity", severity);
            anomaly.put("score", severity / 4.0);
            anomaly.put("confidence", 0.5);
            anomaly.put("metric", metric);
            anomaly.put("value", value);
            anomaly.put("origin_ms", record.timestamp());
            context.forward(new Record<>(service, JSON.writeValueAsBytes(anomaly), record.timestamp()));
        }
    }

    private static Topology topology(JsonNode task) {
        Rules rules = new Rules(task.get("rules"));
        Topology topology = new Topology();
        topology.addSource(
                "samples",
                Serdes.ByteArray().deserializer(),
                Serdes.ByteArray().deserializer(),
                task.get("telemetry").textValue());
        topology.addProcessor("scorer", () -> new Scorer(rules), "samples");
        topology.addStateStore(
                Stores.keyValueStoreBuilder(
                                Stores.persistentKeyValueStore(STORE), Serdes.String(), Serdes.ByteArray())
                        .withCachingEnabled(),
                "scorer");
        topology.addSink(
                "anomalies",
                task.get("anomalies").textValue(),
                Serdes.String().serializer(),
                Serdes.ByteArray().serializer(),
                "scorer");
        return topology;
    }

    private static Properties settings(JsonNode task) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, task.get("group").textValue());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, task.get("brokers").textValue());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, task.get("state_dir").textValue());
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, task.get("threads").intValue());
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, task.get("cache_bytes").longValue());
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        // A process that joins gets its share at once: by default it may wait for ten minutes, restoring state.
        settings.put(StreamsConfig.ACCEPTABLE_RECOVERY_LAG_CONFIG, Long.MAX_VALUE);
        settings.put(StreamsConfig.CLIENT_ID_CONFIG, task.get("client_id").textValue());
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        settings.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        int sessionMs = (int) (task.get("session_timeout_s").doubleValue() * 1000);
        settings.put(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, sessionMs);
        settings.put(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, sessionMs / 4);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        return settings;
    }

    private static long peakMemoryKb() throws java.io.IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        return 0;
    }

    private static double cpuSeconds() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    private static void watch() {
        long told = 0;
        try {
            while (true) {
                long taken = TAKEN.get();
                if (taken != told) {
                    System.out.printf(
                            java.util.Locale.ROOT,
                            "{\"at\":\"progress\",\"clock_s\":%.6f,\"events\":%d,\"cpu_s\":%.6f,\"rss_mb\":%.1f}%n",
                            System.nanoTime() / 1e9,
                            taken,
                            cpuSeconds(),
                            peakMemoryKb() / 1024.0);
                    System.out.flush();
                    told = taken;
                }
                Thread.sleep(WATCH_MS);
            }
        } catch (InterruptedException | java.io.IOException error) {
            throw new IllegalStateException(error);
        }
    }

    public static void main(String[] arguments) throws Exception {
        JsonNode task = JSON.readTree(arguments[0]);
        KafkaStreams streams = new KafkaStreams(topology(task), settings(task));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        Thread watcher = new Thread(Scoring::watch, "watcher");
        watcher.setDaemon(true);
        watcher.start();
        streams.start();
        while (System.in.read() >= 0) {
            // Whoever started it holds the other end of standard input until the run is over.
        }
        streams.close(Duration.ofSeconds(20));
    }
}
