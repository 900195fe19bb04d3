//! The ZooKeeper ensemble.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, PodSpec, Volume,
};

use super::{Inputs, Resources, member_set, metadata, pod, probe};
use crate::cloud::component::Component;
use crate::cloud::names::{
    CONFIG_HASH_ANNOTATION, ZOOKEEPER_ELECTION_PORT, ZOOKEEPER_PEER_PORT, ZOOKEEPER_PORT,
};
use crate::cloud::zoo_cfg::{DATA_DIR, zoo_cfg};
use crate::reconcile::content_hash;

const COMPONENT: Component = Component::ZooKeeper;
/// Log to the console; and what ends one of its threads for good to a file as well, for ZooKeeper 3.4 to 3.7 and for
/// 3.8 and later. The file is in memory, for the reason may be a disk that is full, and takes nothing else, so that it
/// stays short.
const LOG4J: &str = "log4j.rootLogger=INFO, CONSOLE\n\
    log4j.logger.org.apache.zookeeper.server.ZooKeeperCriticalThread=INFO, ERRORS\n\
    log4j.appender.CONSOLE=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.CONSOLE.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.CONSOLE.layout.ConversionPattern=%d{ISO8601} [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n\n\
    log4j.appender.ERRORS=org.apache.log4j.FileAppender\n\
    log4j.appender.ERRORS.Threshold=ERROR\n\
    log4j.appender.ERRORS.File=/dev/shm/errors.log\n\
    log4j.appender.ERRORS.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.ERRORS.layout.ConversionPattern=%m%n\n";
const LOGBACK: &str = "<configuration>\n  <appender name=\"CONSOLE\" class=\"ch.qos.logback.core.ConsoleAppender\">\n    \
    <encoder><pattern>%d{ISO8601} [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n</pattern></encoder>\n  \
    </appender>\n  <appender name=\"ERRORS\" class=\"ch.qos.logback.core.FileAppender\">\n    \
    <file>/dev/shm/errors.log</file>\n    \
    <filter class=\"ch.qos.logback.classic.filter.ThresholdFilter\"><level>ERROR</level></filter>\n    \
    <encoder><pattern>%m%n</pattern></encoder>\n  \
    </appender>\n  <logger name=\"org.apache.zookeeper.server.ZooKeeperCriticalThread\"><appender-ref ref=\"ERRORS\"/></logger>\n  \
    <root level=\"INFO\"><appender-ref ref=\"CONSOLE\"/></root>\n</configuration>\n";
/// mesoscloud's entrypoint overwrites zoo.cfg with its own, so the program is started past it, in a way that
/// mesoscloud's, the official and Debian's images share. A pod keeps the list that it was made with, also when the
/// program is started anew: the next list is brought by the rollout, to one member after another.
const START: &str = "ordinal=${POD_NAME##*-}
[ -e /conf/zoo.cfg ] || cp /config/zoo-$ordinal.cfg /conf/zoo.cfg
cp /config/log4j.properties /config/logback.xml /conf/
: > /dev/shm/errors.log
echo $((ordinal + 1)) > /data/myid
exec zkServer.sh start-foreground";
/// A member serves when it shows a Mode. `ruok` says imok even without a quorum. The word stands alone: of a
/// line's end, which ZooKeeper does not read, its answer may be lost (4 of 60), because a connection closed with
/// something unread is reset.
const SERVES: &str = "! grep -q 'Severe unrecoverable error' /dev/shm/errors.log && \
    printf srvr | nc 127.0.0.1 2181 | grep -q '^Mode: '";
/// A member lives when it accepts connections and can still write. One of 3.4.8 that could not, on a full disk
/// for example, goes on without the thread that writes and answers every question but a change
/// (ZOOKEEPER-2247). It is restarted, and its container says why.
const LIVES: &str = "if grep -q 'Severe unrecoverable error' /dev/shm/errors.log; then \
    head -c 2000 /dev/shm/errors.log > /dev/termination-log; exit 1; fi; \
    printf srvr | nc 127.0.0.1 2181 > /dev/null";

/// Adds the ensemble's objects.
pub fn build(inputs: &Inputs<'_>, resources: &mut Resources) {
    let cloud = inputs.cloud;
    let spec = &cloud.spec.zookeeper;
    let listed = cloud.sized_for(COMPONENT, spec.replicas);
    let file = |members: i32, n: i32| (format!("zoo-{n}.cfg"), zoo_cfg(&cloud.id, spec, members, n));
    let mut files: BTreeMap<_, _> = (0..listed).map(|n| file(listed, n)).collect();
    files.insert("log4j.properties".to_owned(), LOG4J.to_owned());
    files.insert("logback.xml".to_owned(), LOGBACK.to_owned());
    let hash = content_hash(&files);
    // One that is no longer on the others' list keeps its own until it goes: it may be started anew.
    files.extend((listed..spec.replicas).map(|n| file(n + 1, n)));

    let ports = [
        ("client", ZOOKEEPER_PORT),
        ("peer", ZOOKEEPER_PEER_PORT),
        ("election", ZOOKEEPER_ELECTION_PORT),
    ];
    let container = Container {
        command: Some(["sh", "-ec", START].map(str::to_owned).into()),
        ports: Some(
            ports
                .iter()
                .map(|(name, port)| ContainerPort {
                    name: Some((*name).to_owned()),
                    container_port: *port,
                    ..ContainerPort::default()
                })
                .collect(),
        ),
        volume_mounts: Some(vec![
            pod::mount(member_set::DATA_VOLUME, DATA_DIR),
            pod::mount_read_only("config", "/config"),
            pod::mount("conf", "/conf"),
            pod::mount("tmp", "/tmp"),
        ]),
        readiness_probe: Some(probe::exec(&["sh", "-c", SERVES], probe::PROMPT)),
        liveness_probe: Some(probe::exec(&["sh", "-c", LIVES], probe::PATIENT)),
        ..pod::main_container(
            COMPONENT,
            &spec.image,
            &spec.pod,
            &spec.resources,
            vec![
                pod::env_field("POD_NAME", "metadata.name"),
                pod::env("ZOOCFGDIR", "/conf"),
                pod::env("ZOO_LOG_DIR", "/tmp"),
                pod::env("SERVER_JVMFLAGS", pod::heap(&spec.resources, 256)),
            ],
        )
    };
    let template = pod::template(
        cloud,
        COMPONENT,
        &spec.pod,
        Some([(CONFIG_HASH_ANNOTATION.to_owned(), hash)].into()),
        PodSpec {
            security_context: Some(pod::restricted_pod()),
            containers: vec![container],
            volumes: Some(vec![
                Volume {
                    name: "config".to_owned(),
                    config_map: Some(ConfigMapVolumeSource {
                        name: cloud.id.object(COMPONENT),
                        ..ConfigMapVolumeSource::default()
                    }),
                    ..Volume::default()
                },
                pod::scratch("conf"),
                pod::scratch("tmp"),
            ]),
            ..PodSpec::default()
        },
    );
    resources.config_maps.push(ConfigMap {
        metadata: metadata(cloud, COMPONENT, cloud.id.object(COMPONENT)),
        data: Some(files),
        ..ConfigMap::default()
    });
    resources
        .disruption_budgets
        .push(member_set::disruption_budget(inputs, COMPONENT));
    resources.services.extend(member_set::member_services(
        inputs,
        COMPONENT,
        spec.replicas,
        &ports,
    ));
    resources.stateful_sets.push(member_set::stateful_set(
        inputs,
        COMPONENT,
        spec.replicas,
        Some(&spec.storage),
        template.into(),
    ));
}
