#include <gtest/gtest.h>

#include "object/json.h"
#include "object/meta.h"
#include "object/patch.h"
#include "object/selector.h"
#include "object/walker.h"
#include "object/yaml.h"

namespace mizzen::object {
namespace {

Json yaml(std::string_view text) {
  auto documents = parse_yaml(text);
  if (!documents || documents->empty()) {
    ADD_FAILURE() << (documents ? "no document" : documents.error().message);
    return nullptr;
  }
  return documents->front().value;
}

TEST(JsonText, RefusesDuplicatesDepthAndGarbage) {
  EXPECT_EQ(parse_json(R"({"a":[1,2,{"b":null}]})")->dump(), R"({"a":[1,2,{"b":null}]})");
  EXPECT_FALSE(parse_json(R"({"a":1,"a":2})"));
  EXPECT_FALSE(parse_json("{"));
  EXPECT_EQ(parse_json(std::string(1000, '[')).error().code, Code::kLimit);
}

TEST(JsonPath, ReadsWhatKubectlWrites) {
  Json object = yaml("a: {b.c: x, list: [{n: 1, t: Ready}, {n: 2, t: Other}]}");
  auto first = [&](std::string_view path) {
    auto found = json_path(object, path);
    return found && !found->empty() ? found->front() : Json();
  };
  EXPECT_EQ(first("{.a.list[0].n}"), 1);
  EXPECT_EQ(first(".a.list[-1].n"), 2);
  EXPECT_EQ(first("{.a['b.c']}"), "x");
  EXPECT_EQ(first(R"(.a.b\.c)"), "x");
  EXPECT_EQ(first(R"({.a.list[?(@.t=="Ready")].n})"), 1);
  EXPECT_EQ(json_path(object, "{..n}")->size(), 2u);
  EXPECT_EQ(json_path(object, "{.a.list[*].t}")->size(), 2u);
  EXPECT_FALSE(json_path(object, ".a[x"));
}

TEST(Yaml, Scalars) {
  Json v = yaml(
      "a: on\nb: yes\nc: true\nd: \"8080\"\ne: 8080\nf: 1.5\ng: ~\nh: 0644\ni: 1e3\nj: '1'\nk: "
      "v1\nl: 1.2.3.4\n");
  EXPECT_EQ(v["a"], "on");
  EXPECT_EQ(v["b"], "yes");
  EXPECT_EQ(v["c"], true);
  EXPECT_EQ(v["d"], "8080");
  EXPECT_EQ(v["e"], 8080);
  EXPECT_EQ(v["f"], 1.5);
  EXPECT_TRUE(v["g"].is_null());
  EXPECT_EQ(v["h"], 420);
  EXPECT_EQ(v["j"], "1");
  EXPECT_EQ(v["l"], "1.2.3.4");
}

TEST(Yaml, AnchorsMergeDuplicatesAndLimits) {
  Json v = yaml("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nlist: [*b]\n");
  EXPECT_EQ(v["use"], (Json{{"x", 1}, {"y", 3}}));
  EXPECT_EQ(v["list"][0]["x"], 1);
  auto twice = parse_yaml("a: 1\nb: 2\na: 3\n");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message, "line 3: key \"a\" stands twice in one object");
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j ? ",*a" : "*a") + std::to_string(i - 1);
    bomb += "]\n";
  }
  auto blown = parse_yaml(bomb);
  ASSERT_FALSE(blown);
  EXPECT_EQ(blown.error().code, Code::kLimit);
  EXPECT_FALSE(parse_yaml("a: [1"));
}

TEST(Yaml, RefusesWhatIsNotUtf8) {
  for (const char* text :
       {"a: b\nc: \xff\n", "a: b\n\"\xc3\": c\n", "a: b\nc: !!str \xed\xa0\x80\n"}) {
    auto read = parse_yaml(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().message, "line 2: holds bytes that are not UTF-8");
  }
}

TEST(Yaml, DocumentsAndLists) {
  auto documents =
      parse_manifest("# c\n---\na: 1\n---\n---\nkind: List\nitems: [{b: 1}, {b: 2}]\n");
  ASSERT_TRUE(documents) << documents.error().message;
  ASSERT_EQ(documents->size(), 3u);
  EXPECT_EQ((*documents)[0].line, 3);
}

TEST(Yaml, WhatStandsOutsideOfDocumentsEnds) { EXPECT_FALSE(parse_yaml(",")); }

TEST(Yaml, WritesWhatItReads) {
  Json value = {{"s", "on"},
                {"n", "1"},
                {"e", ""},
                {"m", "a\nb\n"},
                {"star", "*"},
                {"colon", "a: b"},
                {"list", {1, "two", {{"x", 1}, {"y", {1, 2}}}, Json::array()}},
                {"o", Json::object()},
                {"quote", "it's"},
                {"tab", "a\tb"},
                {"tail", "x:"},
                {"i", 5},
                {"b", true},
                {"z", nullptr},
                {"no end", "a\nb"},
                {"nested", {{{{"q", {{"r", 1}}}}}}}};
  std::string text = to_yaml(value);
  EXPECT_EQ(yaml(text), value) << text;
  EXPECT_EQ(to_yaml(Json{{"a", {{{"b", "*"}, {"c", "8080"}}}}}), "a:\n- b: '*'\n  c: \"8080\"\n");
}

TEST(Selector, StringForms) {
  auto s = LabelSelector::parse("a=b,c!=d,e in (f, g),!h,i");
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_TRUE(s->matches({{"a", "b"}, {"e", "g"}, {"i", ""}}));
  EXPECT_FALSE(s->matches({{"a", "b"}, {"e", "g"}, {"i", ""}, {"h", ""}}));
  EXPECT_FALSE(s->matches({{"a", "b"}, {"c", "d"}, {"e", "g"}, {"i", ""}}));
  EXPECT_EQ(s->to_string(), "a=b,c!=d,e in (f,g),!h,i");
  EXPECT_FALSE(LabelSelector::parse("a in (b"));
  EXPECT_FALSE(LabelSelector::parse("-bad=x"));
  EXPECT_TRUE(LabelSelector::parse("n>3")->matches({{"n", "4"}}));
}

TEST(Selector, Json) {
  Json expression =
      yaml("{matchLabels: {a: b}, matchExpressions: [{key: c, operator: NotIn, values: [x]}]}");
  auto s = LabelSelector::from_json(&expression);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_TRUE(s->matches({{"a", "b"}}));
  EXPECT_FALSE(s->matches({{"a", "b"}, {"c", "x"}}));
  EXPECT_FALSE(LabelSelector::from_json(nullptr)->matches({}));
  Json empty = Json::object();
  EXPECT_TRUE(LabelSelector::from_json(&empty)->matches({}));
}

TEST(Selector, Fields) {
  Json pod = yaml("{metadata: {name: p}, spec: {nodeName: n}, status: {phase: Running}}");
  EXPECT_TRUE(FieldSelector::parse("metadata.name=p,status.phase!=Failed")->matches(pod));
  EXPECT_FALSE(FieldSelector::parse("spec.nodeName==m")->matches(pod));
  EXPECT_EQ(*FieldSelector::parse("metadata.name=p")->required("metadata.name"), "p");
  EXPECT_FALSE(FieldSelector::parse("x"));
}

TEST(Patch, Json6902) {
  Json v = yaml("{a: [1, 2], b: {c: x}}");
  EXPECT_TRUE(
      json_patch(v, yaml(R"([{op: add, path: /a/1, value: 9}, {op: add, path: /a/-, value: 3},
      {op: move, from: /b/c, path: /d}, {op: test, path: /d, value: x},
      {op: remove, path: /a/0}])")));
  EXPECT_EQ(v, yaml("{a: [9, 2, 3], b: {}, d: x}"));
  Json before = v;
  EXPECT_FALSE(
      json_patch(v, yaml("[{op: add, path: /q, value: 1}, {op: test, path: /d, value: y}]")));
  EXPECT_EQ(v, before);
  EXPECT_FALSE(json_patch(v, yaml("[{op: add, path: /no/where, value: 1}]")));
}

TEST(Patch, StrategicMergesContainersByName) {
  Json v = yaml(R"(
spec:
  template:
    spec:
      containers:
      - {name: a, image: x, env: [{name: E, value: "1"}], ports: [{containerPort: 80}]}
      - {name: b, image: y}
      tolerations: [{key: t}])");
  Json patch = yaml(R"(
spec:
  template:
    spec:
      $setElementOrder/containers: [{name: b}, {name: a}]
      containers:
      - {name: a, image: z, env: [{name: F, value: "2"}], ports: [{containerPort: 81}]}
      tolerations: [{key: u}])");
  ASSERT_TRUE(strategic_merge_patch(v, patch, "Deployment"));
  EXPECT_EQ(v, yaml(R"(
spec:
  template:
    spec:
      containers:
      - {name: b, image: y}
      - name: a
        image: z
        env: [{name: E, value: "1"}, {name: F, value: "2"}]
        ports: [{containerPort: 80}, {containerPort: 81}]
      tolerations: [{key: u}])"));
  ASSERT_TRUE(strategic_merge_patch(
      v,
      yaml(
          "spec: {template: {spec: {containers: [{name: b, $patch: delete}], tolerations: null}}}"),
      "Deployment"));
  EXPECT_EQ(v["spec"]["template"]["spec"]["containers"].size(), 1u);
  EXPECT_FALSE(v["spec"]["template"]["spec"].contains("tolerations"));
  EXPECT_FALSE(strategic_merge_patch(
      v, yaml("spec: {template: {spec: {containers: [{image: q}]}}}"), "Deployment"));
}

TEST(Patch, StrategicDirectives) {
  Json v = yaml(
      "{metadata: {finalizers: [a, b]}, spec: {strategy: {type: RollingUpdate, rollingUpdate: {x: "
      "1}}}}");
  ASSERT_TRUE(strategic_merge_patch(
      v,
      yaml("{metadata: {$deleteFromPrimitiveList/finalizers: [a], finalizers: [c]}, spec: "
           "{strategy: {$retainKeys: [type], type: Recreate}}}"),
      "Deployment"));
  EXPECT_EQ(v, yaml("{metadata: {finalizers: [b, c]}, spec: {strategy: {type: Recreate}}}"));
}

TEST(Patch, ApplyOwnsPrunesAndConflicts) {
  Json v = nullptr;
  auto apply = [&](std::string_view text, std::string_view who, bool force = false) {
    return apply_patch(v, yaml(text), who, force, "2026-01-01T00:00:00Z");
  };
  ASSERT_TRUE(apply(
      "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {l: m}}, data: {a: x, b: y}}",
      "one"));
  ASSERT_TRUE(
      apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: x, c: z}}", "two"));
  auto clash = apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: q}}", "two");
  ASSERT_FALSE(clash);
  EXPECT_EQ(clash.error().code, Code::kConflict);
  EXPECT_NE(clash.error().message.find("conflict with \"one\": .data.a"), std::string::npos);
  auto again = apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {b: y}}", "one");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(v["data"], yaml("{a: x, b: y, c: z}"));
  EXPECT_FALSE(v["metadata"].contains("labels") && v["metadata"]["labels"].contains("l"));
  ASSERT_TRUE(
      apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {b: n}}", "two", true));
  EXPECT_EQ(v["data"], yaml("{b: n}"));
  EXPECT_EQ(v["metadata"]["managedFields"].size(), 1u);
}

TEST(Scalars, Durations) {
  std::int64_t n = 0;
  for (auto [text, nanos] :
       std::vector<std::pair<std::string_view, std::int64_t>>{{"3m", 180'000'000'000},
                                                              {"200ms", 200'000'000},
                                                              {"1h30m", 5400'000'000'000},
                                                              {"1.5s", 1'500'000'000},
                                                              {"0", 0},
                                                              {"0.000000001s", 1},
                                                              {"-1s", -1'000'000'000}}) {
    ASSERT_TRUE(parse_go_duration(text, &n)) << text;
    EXPECT_EQ(n, nanos) << text;
  }
  for (std::string_view bad : {"", "5", "5x", "s", "1..2s", "99999999999h", "1s2", "--1s"}) {
    EXPECT_FALSE(parse_go_duration(bad, &n)) << bad;
  }
  EXPECT_EQ(go_duration(5400'000'000'000), "1h30m0s");
  EXPECT_EQ(go_duration(200'000'000), "200ms");
  EXPECT_EQ(go_duration(1'500'000'000), "1.5s");
}

TEST(Scalars, QuantitiesAndTimes) {
  std::int64_t n = 0;
  ASSERT_TRUE(parse_quantity("100m", &n));
  EXPECT_EQ(n, 100);
  ASSERT_TRUE(parse_quantity("128Mi", &n));
  EXPECT_EQ(n, 128LL * 1024 * 1024 * 1000);
  EXPECT_FALSE(parse_quantity("1Q", &n));
  EXPECT_EQ(rfc3339(*parse_time("2026-01-31T12:00:00.5+01:00")), "2026-01-31T11:00:00Z");
  EXPECT_FALSE(parse_time("2026-02-31T12:00:00Z"));
  EXPECT_EQ(human_duration(std::chrono::seconds(200)), "3m20s");
  EXPECT_EQ(human_duration(std::chrono::hours(53)), "2d5h");
}

}  // namespace
}  // namespace mizzen::object
