#include "object/meta.h"

#include <fmt/format.h>

#include <chrono>

#include "base/strings.h"

namespace mizzen::object {
namespace {

std::optional<std::int64_t> optional_int(const Json& value, std::string_view key) {
  const Json* at = find(value, {key});
  if (!at || !at->is_number_integer()) return std::nullopt;
  return at->get<std::int64_t>();
}

OwnerReference owner_of(const Json& value) {
  return {string_at(value, {"apiVersion"}), string_at(value, {"kind"}),
          string_at(value, {"name"}),       string_at(value, {"uid"}),
          bool_at(value, {"controller"}),   bool_at(value, {"blockOwnerDeletion"})};
}

const Json& metadata_or_empty(const Json& object) {
  static const Json kEmpty = Json::object();
  const Json* at = find(object, {"metadata"});
  return at && at->is_object() ? *at : kEmpty;
}

}  // namespace

const OwnerReference* Meta::controller() const {
  for (const OwnerReference& owner : owners) {
    if (owner.controller) return &owner;
  }
  return nullptr;
}

Meta meta_of(const Json& object) {
  const Json& data = metadata_or_empty(object);
  Meta meta;
  meta.name = string_at(data, {"name"});
  meta.ns = string_at(data, {"namespace"});
  meta.generate_name = string_at(data, {"generateName"});
  meta.uid = string_at(data, {"uid"});
  meta.resource_version = string_at(data, {"resourceVersion"});
  meta.generation = int_at(data, {"generation"});
  meta.labels = string_map(find(data, {"labels"}));
  meta.annotations = string_map(find(data, {"annotations"}));
  meta.creation = parse_time(string_at(data, {"creationTimestamp"}));
  meta.deletion = parse_time(string_at(data, {"deletionTimestamp"}));
  meta.deletion_grace_seconds = optional_int(data, "deletionGracePeriodSeconds");
  if (const Json* owners = find(data, {"ownerReferences"}); owners && owners->is_array()) {
    for (const Json& owner : *owners) meta.owners.push_back(owner_of(owner));
  }
  if (const Json* list = find(data, {"finalizers"}); list && list->is_array()) {
    for (const Json& item : *list) {
      if (item.is_string()) meta.finalizers.push_back(item.get<std::string>());
    }
  }
  return meta;
}

std::string name_of(const Json& object) { return string_at(object, {"metadata", "name"}); }
std::string namespace_of(const Json& object) {
  return string_at(object, {"metadata", "namespace"});
}
std::string uid_of(const Json& object) { return string_at(object, {"metadata", "uid"}); }
std::string resource_version_of(const Json& object) {
  return string_at(object, {"metadata", "resourceVersion"});
}
Key key_of(const Json& object) { return {namespace_of(object), name_of(object)}; }

StringMap labels_of(const Json& object) { return string_map(find(object, {"metadata", "labels"})); }

std::optional<std::string> label_of(const Json& object, std::string_view key) {
  const Json* at = find(object, {"metadata", "labels", key});
  if (!at || !at->is_string()) return std::nullopt;
  return at->get<std::string>();
}

std::optional<std::string> annotation_of(const Json& object, std::string_view key) {
  const Json* at = find(object, {"metadata", "annotations", key});
  if (!at || !at->is_string()) return std::nullopt;
  return at->get<std::string>();
}

StringMap string_map(const Json* value) {
  StringMap map;
  if (!value || !value->is_object()) return map;
  for (const auto& [key, item] : value->items()) {
    if (item.is_string()) map.emplace(key, item.get<std::string>());
  }
  return map;
}

Json& metadata(Json& object) {
  Json& data = object["metadata"];
  if (!data.is_object()) data = Json::object();
  return data;
}

namespace {
void set_in(Json& map, std::string_view key, std::string_view value) {
  if (!map.is_object()) map = Json::object();
  map[std::string(key)] = std::string(value);
}
}  // namespace

void set_label(Json& object, std::string_view key, std::string_view value) {
  set_in(metadata(object)["labels"], key, value);
}
void set_annotation(Json& object, std::string_view key, std::string_view value) {
  set_in(metadata(object)["annotations"], key, value);
}

Json owner_reference(const Json& owner, bool controller) {
  Json reference = {{"apiVersion", string_at(owner, {"apiVersion"})},
                    {"kind", string_at(owner, {"kind"})},
                    {"name", name_of(owner)},
                    {"uid", uid_of(owner)}};
  if (controller) {
    reference["controller"] = true;
    reference["blockOwnerDeletion"] = true;
  }
  return reference;
}

std::optional<WallTime> parse_time(std::string_view text) {
  auto number = [&](std::size_t at, std::size_t length) {
    return at + length <= text.size() ? parse_int<unsigned>(text.substr(at, length))
                                      : std::optional<unsigned>();
  };
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':' ||
      (text[10] != 'T' && text[10] != 't' && text[10] != ' ')) {
    return std::nullopt;
  }
  auto year = number(0, 4), month = number(5, 2), day = number(8, 2);
  auto hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                   std::chrono::month(*month), std::chrono::day(*day)};
  // What a count of nanoseconds since 1970 in 64 bits can hold, and a little less.
  if (*year < 1700 || *year > 2200) return std::nullopt;
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  std::size_t at = 19;
  std::int64_t nanos = 0;
  if (text[at] == '.') {
    std::int64_t unit = 100'000'000;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) {
      nanos += (text[at] - '0') * unit;
    }
  }
  Duration offset{};
  std::string_view zone = text.substr(at);
  if (zone.size() == 6 && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':') {
    auto hours = number(at + 1, 2), minutes = number(at + 4, 2);
    if (!hours || !minutes) return std::nullopt;
    offset = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
    if (zone[0] == '-') offset = -offset;
  } else if (zone != "Z" && zone != "z") {
    return std::nullopt;
  }
  return WallTime(std::chrono::sys_days(date)) + std::chrono::hours(*hour) +
         std::chrono::minutes(*minute) + std::chrono::seconds(*second) + Duration(nanos) - offset;
}

std::string human_duration(Duration duration) {
  std::int64_t seconds = std::chrono::floor<std::chrono::seconds>(duration).count();
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return fmt::format("{}s", seconds);
  auto pair = [](std::int64_t a, char unit_a, std::int64_t b, char unit_b) {
    return b ? fmt::format("{}{}{}{}", a, unit_a, b, unit_b) : fmt::format("{}{}", a, unit_a);
  };
  std::int64_t minutes = seconds / 60;
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return fmt::format("{}m", minutes);
  std::int64_t hours = minutes / 60;
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return fmt::format("{}h", hours);
  std::int64_t days = hours / 24;
  if (days < 8) return pair(days, 'd', hours % 24, 'h');
  if (days < 365 * 2) return fmt::format("{}d", days);
  std::int64_t years = days / 365;
  if (years < 8) return pair(years, 'y', days % 365, 'd');
  return fmt::format("{}y", years);
}

}  // namespace mizzen::object
