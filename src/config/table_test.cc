#include "config/table.h"

#include <gtest/gtest.h>

#include "object/meta.h"
#include "object/yaml.h"

namespace mizzen::config {
namespace {

object::Json row(std::string_view group, std::string_view kind, std::string_view text) {
  auto documents = object::parse_yaml(text);
  EXPECT_TRUE(documents && documents->size() == 1);
  return table_cells(*find_kind(group, kind), documents->front().value,
                     *object::parse_time("2026-01-01T00:05:00Z"));
}

TEST(Table, PodCountsSidecarsAndShowsInit) {
  EXPECT_EQ(row("", "Pod", R"(
metadata: {name: p, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {nodeName: n, containers: [{name: a}, {name: b}]}
status:
  phase: Running
  podIP: 10.0.0.1
  containerStatuses:
  - {name: a, ready: true, restartCount: 0, state: {running: {}}}
  - {name: b, ready: false, restartCount: 2, state: {waiting: {reason: CrashLoopBackOff}}})"),
            object::Json(
                {"p", "1/2", "CrashLoopBackOff", "2", "5m", "10.0.0.1", "n", "<none>", "<none>"}));
  EXPECT_EQ(row("", "Pod", R"(
metadata: {name: p}
spec: {containers: [{name: a}], initContainers: [{name: i}]}
status: {phase: Pending, initContainerStatuses: [{name: i, state: {running: {}}}]})")[2],
            "Init:0/1");
}

TEST(Table, ServiceAndCustom) {
  EXPECT_EQ(row("", "Service", R"(
metadata: {name: s, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  type: NodePort
  clusterIP: 10.0.0.9
  ports: [{port: 80, nodePort: 30000}]
  selector: {app: x})"),
            object::Json({"s", "NodePort", "10.0.0.9", "<none>", "80:30000/TCP", "5m", "app=x"}));
  EXPECT_EQ(row("networking.istio.io", "VirtualService", R"(
metadata: {name: v, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {hosts: [r], gateways: [g]})"),
            object::Json({"[\"g\"]", "[\"r\"]", "5m"}));
}

TEST(Table, EveryKindFillsItsColumns) {
  object::Json empty = {{"metadata", {{"name", "x"}}}};
  for (const Kind& kind : kinds()) {
    EXPECT_EQ(table_cells(kind, empty, WallTime{}).size(), kind.columns.size()) << kind.kind;
  }
}

}  // namespace
}  // namespace mizzen::config
