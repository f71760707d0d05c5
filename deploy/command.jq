# The workers' StatefulSet, as `kubectl get --output json` tells it -> a pod beside them to run commands in: their settings,
# image and limits, without their name, probes and Services, and with the operator's login where there is a login.
{
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    name: "segstream-command",
    # The NetworkPolicy goes by the others; Services and PodDisruptionBudget go by this one.
    labels: (.spec.template.metadata.labels + {"app.kubernetes.io/component": "command"})
  },
  spec: (
    .spec.template.spec
    | del(.topologySpreadConstraints)
    | .restartPolicy = "Never"
    | .terminationGracePeriodSeconds = 1
    | .containers[0] |= (
        del(.args, .env, .ports, .startupProbe, .livenessProbe, .readinessProbe)
        | .name = "command"
        | .command = ["sleep", "infinity"]
      )
    | if .volumes[0].projected then
        .volumes[0].projected.sources[0].secret.name = "segstream-operator"
        | .containers[0].env = [{name: "SEGSTREAM_KAFKA_USERNAME", value: "segstream-operator"}]
      else . end
  )
}
