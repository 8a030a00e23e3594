// meta.k8s.io/v1 Table: what `kubectl get` prints.
#include "config/table.h"

#include "local/apiserver/parts.h"
#include "object/meta.h"

namespace mizzen::local {

namespace {

Json column(std::string_view name, std::string_view type, int priority, bool is_name,
            std::string_view description = "") {
  return {{"name", name},
          {"type", type == "date" ? "string" : type},
          {"format", is_name ? "name" : ""},
          {"description", description},
          {"priority", priority}};
}

std::string age(const Json& object, WallTime now) {
  auto created = object::parse_time(text_at(object, {"metadata", "creationTimestamp"}));
  return created ? object::human_duration(now - *created) : "<unknown>";
}

Json custom_cell(const Json& wanted, const Json& object, WallTime now) {
  auto found = object::json_path(object, wanted.value("jsonPath", ""));
  if (!found || found->empty()) return nullptr;
  const Json& value = found->front();
  const std::string type = wanted.value("type", "string");
  if (type == "date" && value.is_string()) {
    auto time = object::parse_time(value.get<std::string>());
    return time ? Json(object::human_duration(now - *time)) : Json("<invalid>");
  }
  if (type == "string" && !value.is_string()) {
    if (found->size() == 1) return value.dump();
    std::string joined;
    for (const auto& each : *found) {
      joined +=
          (joined.empty() ? "" : ",") + (each.is_string() ? each.get<std::string>() : each.dump());
    }
    return joined;
  }
  return value;
}

struct Columns {
  Json definitions = Json::array();
  std::function<Json(const Json&, WallTime)> cells;
};

Columns custom_columns(const Type& type, std::string_view version) {
  Columns columns;
  columns.definitions.push_back(column("Name", "string", 0, true));
  const CustomVersion* custom = type.custom_version(version);
  Json wanted = custom && custom->columns.is_array() ? custom->columns : Json::array();
  if (wanted.empty()) {
    wanted.push_back(
        {{"name", "Age"}, {"type", "date"}, {"jsonPath", ".metadata.creationTimestamp"}});
  }
  for (const auto& each : wanted) {
    columns.definitions.push_back(column(each.value("name", ""), each.value("type", "string"),
                                         each.value("priority", 0), false,
                                         each.value("description", "")));
  }
  columns.cells = [wanted](const Json& object, WallTime now) {
    Json cells = {name_of(object)};
    for (const auto& each : wanted) cells.push_back(custom_cell(each, object, now));
    return cells;
  };
  return columns;
}

Columns columns_of(const Type& type, std::string_view version) {
  if (!type.built_in()) return custom_columns(type, version);
  Columns columns;
  const config::Kind* kind = config::find_resource(type.group, type.plural);
  if (kind && !kind->columns.empty()) {
    for (const auto& each : kind->columns) {
      columns.definitions.push_back(
          column(each.name, each.type, each.priority, each.name == "Name"));
    }
    columns.cells = [kind](const Json& object, WallTime now) {
      return Json(config::table_cells(*kind, object, now));
    };
    return columns;
  }
  columns.definitions = {column("Name", "string", 0, true), column("Age", "string", 0, false)};
  columns.cells = [](const Json& object, WallTime now) {
    return Json::array({name_of(object), age(object, now)});
  };
  return columns;
}

}  // namespace

Json table_of(const Type& type, std::string_view version, const std::vector<Object>& objects,
              std::string_view include, WallTime now) {
  const Columns columns = columns_of(type, version);
  Json rows = Json::array();
  for (const Object& object : objects) {
    Json row = {{"cells", columns.cells(*object, now)}};
    if (include == "Object") {
      row["object"] = as_version(type, version, *object);
    } else if (include != "None") {
      row["object"] = {{"kind", "PartialObjectMetadata"},
                       {"apiVersion", "meta.k8s.io/v1"},
                       {"metadata", at_path(*object, {"metadata"})}};
    }
    rows.push_back(std::move(row));
  }
  return {{"kind", "Table"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", Json::object()},
          {"columnDefinitions", columns.definitions},
          {"rows", std::move(rows)}};
}

}  // namespace mizzen::local
