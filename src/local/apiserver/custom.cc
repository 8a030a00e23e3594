// Structural schemas of CustomResourceDefinitions (OpenAPI v3 as apiextensions.k8s.io/v1 has it):
// checking, pruning and defaults. CEL rules (x-kubernetes-validations) are not evaluated.
#include <fmt/core.h>
#include <re2/re2.h>

#include "local/apiserver/parts.h"
#include "object/field_error.h"

namespace mizzen::local {

namespace {

constexpr std::size_t kMaxCauses = 100;
constexpr int kMaxDepth = 64;

std::string_view type_name(const Json& value) {
  if (value.is_object()) return "object";
  if (value.is_array()) return "array";
  if (value.is_string()) return "string";
  if (value.is_boolean()) return "boolean";
  if (value.is_number_integer()) return "integer";
  if (value.is_number()) return "number";
  return "null";
}

bool flag(const Json& schema, const char* name) { return object::bool_at(schema, {name}); }

class Checker {
 public:
  explicit Checker(SchemaReport& report) : report_(report) {}

  void apply(const Json& schema, Json& value, const std::string& path, int depth) {
    if (report_.causes.size() >= kMaxCauses || depth > kMaxDepth || !schema.is_object()) return;
    if (value.is_null() && flag(schema, "nullable")) return;
    if (!right_type(schema, value, path)) return;
    check_value(schema, value, path);
    check_combinations(schema, value, path, depth);
    if (value.is_object()) walk_object(schema, value, path, depth);
    if (value.is_array()) walk_array(schema, value, path, depth);
  }

 private:
  void refuse(const std::string& path, const Json& value, std::string_view what) {
    const Json shown = value.is_structured() ? Json(std::string(type_name(value))) : value;
    report_.causes.push_back(
        invalid_value(path.empty() ? "<nil>" : path, shown,
                      fmt::format("{} in body {}", path.empty() ? "<nil>" : path, what)));
  }

  bool right_type(const Json& schema, const Json& value, const std::string& path) {
    if (flag(schema, "x-kubernetes-int-or-string")) {
      if (value.is_number_integer() || value.is_string()) return true;
      refuse(path, value,
             fmt::format("must be of type integer or string: \"{}\"", type_name(value)));
      return false;
    }
    const std::string type = object::string_at(schema, {"type"});
    if (type.empty()) return true;
    const bool whole =
        value.is_number_float() &&
        value.get<double>() == static_cast<double>(static_cast<std::int64_t>(value.get<double>()));
    if (type == type_name(value) || (type == "number" && value.is_number()) ||
        (type == "integer" && whole)) {
      return true;
    }
    refuse(path, Json(std::string(type_name(value))),
           fmt::format("must be of type {}: \"{}\"", type, type_name(value)));
    return false;
  }

  void check_value(const Json& schema, const Json& value, const std::string& path) {
    if (auto allowed = schema.find("enum");
        allowed != schema.end() && allowed->is_array() &&
        std::find(allowed->begin(), allowed->end(), value) == allowed->end()) {
      std::string names;
      for (const auto& each : *allowed) names += (names.empty() ? "" : ", ") + each.dump();
      report_.causes.push_back(not_supported(path, value, names));
    }
    if (value.is_number()) check_number(schema, value, path);
    if (value.is_string()) check_string(schema, value, path);
    if (value.is_array()) {
      const auto size = static_cast<std::int64_t>(value.size());
      if (size < object::int_at(schema, {"minItems"}, 0)) {
        refuse(path, value,
               fmt::format("should have at least {} items", schema["minItems"].dump()));
      }
      if (size > object::int_at(schema, {"maxItems"}, INT64_MAX)) {
        report_.causes.push_back({"FieldValueTooMany",
                                  fmt::format("Too many: {}: must have at most {} items", size,
                                              schema["maxItems"].dump()),
                                  path});
      }
    }
    if (value.is_object()) {
      const auto size = static_cast<std::int64_t>(value.size());
      if (size < object::int_at(schema, {"minProperties"}, 0)) {
        refuse(path, value,
               fmt::format("should have at least {} properties", schema["minProperties"].dump()));
      }
      if (size > object::int_at(schema, {"maxProperties"}, INT64_MAX)) {
        refuse(path, value,
               fmt::format("should have at most {} properties", schema["maxProperties"].dump()));
      }
    }
  }

  void check_number(const Json& schema, const Json& value, const std::string& path) {
    const double number = value.get<double>();
    if (auto low = schema.find("minimum"); low != schema.end() && low->is_number()) {
      const bool exclusive = flag(schema, "exclusiveMinimum");
      if (number < low->get<double>() || (exclusive && number == low->get<double>())) {
        refuse(path, value,
               fmt::format("should be greater than {}{}", exclusive ? "" : "or equal to ",
                           low->dump()));
      }
    }
    if (auto high = schema.find("maximum"); high != schema.end() && high->is_number()) {
      const bool exclusive = flag(schema, "exclusiveMaximum");
      if (number > high->get<double>() || (exclusive && number == high->get<double>())) {
        refuse(
            path, value,
            fmt::format("should be less than {}{}", exclusive ? "" : "or equal to ", high->dump()));
      }
    }
  }

  void check_string(const Json& schema, const Json& value, const std::string& path) {
    const std::string& text = value.get_ref<const std::string&>();
    std::int64_t length = 0;  // in characters
    for (char c : text) length += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    if (length < object::int_at(schema, {"minLength"}, 0)) {
      refuse(path, value,
             fmt::format("should be at least {} chars long", schema["minLength"].dump()));
    }
    if (length > object::int_at(schema, {"maxLength"}, INT64_MAX)) {
      report_.causes.push_back(
          {"FieldValueTooLong",
           fmt::format("Too long: may not be more than {} bytes", schema["maxLength"].dump()),
           path});
    }
    const std::string pattern = object::string_at(schema, {"pattern"});
    if (pattern.empty()) return;
    const RE2 regex(pattern, RE2::Quiet);
    if (regex.ok() && !RE2::PartialMatch(text, regex)) {
      refuse(path, value, fmt::format("should match '{}'", pattern));
    }
  }

  // Whether `value` fits, without changing it.
  static bool fits(const Json& schema, const Json& value, const std::string& path, int depth) {
    SchemaReport report;
    Json copy = value;
    Checker(report).apply(schema, copy, path, depth + 1);
    return report.causes.empty();
  }

  void check_combinations(const Json& schema, const Json& value, const std::string& path,
                          int depth) {
    auto count = [&](const Json& list) {
      int fitting = 0;
      for (const auto& each : list) fitting += fits(each, value, path, depth);
      return fitting;
    };
    if (auto any = schema.find("anyOf");
        any != schema.end() && any->is_array() && count(*any) == 0) {
      refuse(path, value, "must validate at least one schema (anyOf)");
    }
    if (auto one = schema.find("oneOf"); one != schema.end() && one->is_array()) {
      const int fitting = count(*one);
      if (fitting != 1) {
        refuse(path, value,
               fmt::format(
                   "must validate one and only one schema (oneOf). Found {} valid alternatives",
                   fitting == 0 ? "none" : std::to_string(fitting)));
      }
    }
    if (auto all = schema.find("allOf"); all != schema.end() && all->is_array()) {
      for (const auto& each : *all) {
        Json copy = value;
        SchemaReport report;
        Checker(report).apply(each, copy, path, depth + 1);
        report_.causes.insert(report_.causes.end(), report.causes.begin(), report.causes.end());
      }
    }
    if (auto denied = schema.find("not");
        denied != schema.end() && fits(*denied, value, path, depth)) {
      refuse(path, value, "must not validate the schema (not)");
    }
  }

  void walk_object(const Json& schema, Json& value, const std::string& path, int depth) {
    static const Json kNone = Json::object();
    auto found = schema.find("properties");
    const Json& properties = found != schema.end() && found->is_object() ? *found : kNone;
    const bool embedded = depth == 0 || flag(schema, "x-kubernetes-embedded-resource");
    const bool typed = object::string_at(schema, {"type"}) == "object";
    const bool preserve = flag(schema, "x-kubernetes-preserve-unknown-fields") || !typed;
    auto extra = schema.find("additionalProperties");
    for (const auto& [name, property] : properties.items()) {
      if (!value.contains(name) && property.is_object() && property.contains("default")) {
        value[name] = property["default"];
      }
    }
    if (auto required_list = schema.find("required"); required_list != schema.end()) {
      for (const auto& name : *required_list) {
        if (name.is_string() && !value.contains(name.get<std::string>())) {
          report_.causes.push_back(required(join(path, name.get<std::string>())));
        }
      }
    }
    for (auto it = value.begin(); it != value.end();) {
      const std::string name = it.key();
      const bool own = embedded && (name == "metadata" || name == "apiVersion" || name == "kind");
      if (auto property = properties.find(name); property != properties.end() && !own) {
        apply(*property, *it, join(path, name), depth + 1);
      } else if (extra != schema.end() && extra->is_object()) {
        apply(*extra, *it, join(path, name), depth + 1);
      } else if (!own && !preserve && !(extra != schema.end() && *extra == true)) {
        report_.unknown.push_back(join(path, name));
        std::vector<std::string> names;
        for (const auto& known : properties.items()) names.push_back(known.key());
        report_.meant[join(path, name)] = object::nearest(name, names);
        it = value.erase(it);
        continue;
      }
      ++it;
    }
  }

  void walk_array(const Json& schema, Json& value, const std::string& path, int depth) {
    auto items = schema.find("items");
    if (items == schema.end()) return;
    for (std::size_t i = 0; i < value.size(); ++i) {
      apply(*items, value[i], fmt::format("{}[{}]", path, i), depth + 1);
    }
  }

  static std::string join(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "." + name;
  }

  SchemaReport& report_;
};

}  // namespace

SchemaReport apply_schema(const Json& schema, Json& value) {
  SchemaReport report;
  Checker(report).apply(schema, value, "", 0);
  return report;
}

}  // namespace mizzen::local
