#include "outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/strings.h"

namespace mizzen::sim {
namespace {

void compare(std::vector<std::string>* out, std::string_view what, const std::string& expected,
             const std::string& got) {
  if (expected != got)
    out->push_back(fmt::format("{}: expected '{}', got '{}'", what, expected, got));
}

// {name: value}; null wants the header to be absent.
void compare_headers(std::vector<std::string>* out, std::string_view side, const Json& expected,
                     const std::map<std::string, std::string>& got) {
  for (const auto& [name, value] : expected.items()) {
    const auto found = got.find(lower(name));
    const std::string have = found == got.end() ? "(absent)" : found->second;
    const std::string want = value.is_null() ? "(absent)" : value.get<std::string>();
    compare(out, fmt::format("{} {}", side, name), want, have);
  }
}

}  // namespace

Duration duration_of(std::string_view text) {
  const bool milliseconds = text.ends_with("ms");
  text.remove_suffix(milliseconds ? 2 : 1);
  const int count = parse_int<int>(text).value_or(0);
  if (milliseconds) return std::chrono::milliseconds(count);
  return std::chrono::seconds(count);
}

std::vector<std::string> differences(const Row& row, const Ask& ask, const Outcome& outcome) {
  std::vector<std::string> out;
  if (row.has("to")) {
    compare(&out, "destination", cluster_of(row.text("to"), ask.port), outcome.cluster);
  }
  if (row.has("status")) {
    compare(&out, "status", row.json["status"].dump(), fmt::format("{}", outcome.status));
  } else if (row.has("ask") && row.has("to")) {
    compare(&out, "status", "200", fmt::format("{}", outcome.status));
  }
  if (row.has("location")) compare(&out, "location", row.text("location"), outcome.location);
  if (row.has("body")) compare(&out, "body", row.text("body"), outcome.body);
  if (row.has("path")) compare(&out, "path", row.text("path"), outcome.path);
  if (row.has("authority")) compare(&out, "authority", row.text("authority"), outcome.authority);
  if (row.has("sees")) compare_headers(&out, "request header", row.json["sees"], outcome.sees);
  if (row.has("answers")) {
    compare_headers(&out, "response header", row.json["answers"], outcome.answers);
  }
  if (row.has("mirrored")) {
    std::vector<std::string> wanted;
    for (const Json& to : row.json["mirrored"]) {
      wanted.push_back(cluster_of(to.get<std::string>(), ask.port));
    }
    std::ranges::sort(wanted);
    compare(&out, "copies", join(wanted, " "), join(outcome.mirrored, " "));
  }
  if (row.has("delayed") && outcome.delay < duration_of(row.text("delayed"))) {
    out.push_back(
        fmt::format("delay: expected {}, got {} ms", row.text("delayed"),
                    std::chrono::duration_cast<std::chrono::milliseconds>(outcome.delay).count()));
  }
  return out;
}

std::vector<std::string> share_differences(const Row& row, const Ask& ask,
                                           const std::map<std::string, int>& counted, int slack) {
  std::vector<std::string> out;
  int total = 0;
  for (const auto& [cluster, count] : counted) total += count;
  for (const auto& [to, percent] : row.json.at("share").items()) {
    const auto found = counted.find(to == "fault" ? "" : cluster_of(to, ask.port));
    const int got = found == counted.end() ? 0 : found->second * 100 / std::max(total, 1);
    const int wanted = percent.get<int>();
    if (std::abs(got - wanted) <= slack) continue;
    out.push_back(fmt::format("share of {}: expected {} %, got {} %", to, wanted, got));
  }
  return out;
}

}  // namespace mizzen::sim
