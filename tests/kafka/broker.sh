#!/bin/sh
# A real Kafka broker for the tests: one node in KRaft mode, its jars from Maven Central.
#
#   broker.sh install            fetch the jars into the cache, once
#   broker.sh start ADDRESS DIR  start a broker with its data in DIR; returns when it accepts connections
#   broker.sh stop DIR           end it in good order
#   broker.sh crash DIR          kill it
#
# ADDRESS, an IP address and a port, speaks plain text; the next port is the controller's own, the one after it
# speaks TLS with SASL (PLAIN and SCRAM-SHA-512, user `alice`, password `alice-secret`), its authority in
# DIR/ca.pem. The jars are kept in ${OMLSP_TEST_CACHE:-~/.cache/omlsp}/kafka, outside the clone. Needs Java 17 and
# Maven.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${OMLSP_TEST_CACHE:-$HOME/.cache/omlsp}/kafka
# The cache is keyed by what was asked for, so that a new version does not meet the jars of an old one.
libs=$cache/$(cksum < "$here/pom.xml" | tr ' ' '-')

install() {
    [ -f "$libs/complete" ] && return
    mkdir -p "$cache"
    fresh=$(mktemp -d "$cache/fresh.XXXXXX")
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$fresh" >&2
    touch "$fresh/complete"
    # Whoever else installed it meanwhile has the same jars.
    mv -T "$fresh" "$libs" 2>/dev/null || rm -rf "$fresh"
}

# Becomes the JVM: to be called in a subshell. The class data archive and the serial collector halve the
# time to start.
java_run() {
    exec java -Xmx384m -Xshare:auto -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Dlog4j2.configurationFile="$here/log4j2.xml" -cp "$libs/*" "$@"
}

prepare() {
    host=${1%:*} port=${1##*:} dir=$2
    mkdir -p "$dir"
    keytool -genkeypair -alias broker -keyalg EC -validity 3650 -dname CN=localhost \
        -ext SAN=dns:localhost,ip:$host -keystore "$dir/broker.p12" -storepass broker-secret 2>/dev/null
    keytool -exportcert -rfc -alias broker -keystore "$dir/broker.p12" -storepass broker-secret \
        > "$dir/ca.pem" 2>/dev/null
    cat > "$dir/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@$host:$((port + 1))
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://$host:$port,CONTROLLER://$host:$((port + 1)),SECURE://$host:$((port + 2))
advertised.listeners=PLAINTEXT://$host:$port,SECURE://$host:$((port + 2))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-secret";
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.location=$dir/broker.p12
ssl.keystore.password=broker-secret
ssl.keystore.type=PKCS12
log.dirs=$dir/log
num.partitions=2
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.enable=false
END
    (java_run kafka.tools.StorageTool format -c "$dir/server.properties" -t AAAAAAAAAAAAAAAAAAAAAQ \
        --add-scram 'SCRAM-SHA-512=[name=alice,password=alice-secret]') > "$dir/format.log" 2>&1
}

# Tells whether somebody accepts connections.
listening() {
    python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)' \
        "${1%:*}" "${1##*:}" 2>/dev/null
}

start() {
    address=$1 dir=$2
    [ -f "$dir/server.properties" ] || prepare "$address" "$dir"
    (java_run kafka.Kafka "$dir/server.properties") >> "$dir/broker.log" 2>&1 < /dev/null &
    echo $! > "$dir/pid"
    tries=0
    # A broker that is killed while it loads takes longer the next time: a minute is far more than enough.
    until listening "$address"; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
            tail -n 30 "$dir/broker.log" >&2
            exit 1
        fi
        sleep 0.2
    done
}

end() {
    signal=$1 dir=$2
    pid=$(cat "$dir/pid")
    kill "-$signal" "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
}

case ${1:-} in
    install) install ;;
    start) install; start "$2" "$3" ;;
    stop) end TERM "$2" ;;
    crash) end KILL "$2" ;;
    *) sed -n '2,13p' "$0" >&2; exit 2 ;;
esac
