#include "object/kind.h"

#include <algorithm>

#include "base/strings.h"

namespace mizzen::object {
namespace {

bool lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool alnum(char c) { return lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

// Starts and ends with a letter or digit; `extra` may stand between.
template <class Edge>
bool shaped(std::string_view text, Edge edge, std::string_view extra) {
  if (text.empty() || !edge(text.front()) || !edge(text.back())) return false;
  return std::ranges::all_of(text, [&](char c) { return edge(c) || extra.find(c) != extra.npos; });
}

}  // namespace

std::string GroupVersion::to_string() const {
  return group.empty() ? version : group + "/" + version;
}

Result<GroupVersion> parse_api_version(std::string_view api_version) {
  auto parts = split(api_version, '/');
  if (api_version.empty() || parts.size() > 2 || parts.back().empty() || parts.front().empty()) {
    return fail(Code::kInvalid, "apiVersion \"" + std::string(api_version) +
                                    "\" is not of the form `version` or `group/version`");
  }
  if (parts.size() == 1) return GroupVersion{"", std::string(parts[0])};
  return GroupVersion{std::string(parts[0]), std::string(parts[1])};
}

std::string GroupVersionKind::api_version() const {
  return GroupVersion{group, version}.to_string();
}

Result<GroupVersionKind> kind_of(const Json& object) {
  if (!object.is_object()) return fail(Code::kInvalid, "not an object with apiVersion and kind");
  std::string api_version = string_at(object, {"apiVersion"});
  std::string kind = string_at(object, {"kind"});
  if (api_version.empty()) return fail(Code::kInvalid, "apiVersion is missing: write it as text");
  if (kind.empty()) return fail(Code::kInvalid, "kind is missing: write it as text");
  MIZZEN_TRY(GroupVersion parsed, parse_api_version(api_version));
  return GroupVersionKind{std::move(parsed.group), std::move(parsed.version), std::move(kind)};
}

std::string Key::to_string() const { return ns.empty() ? name : ns + "/" + name; }

std::string check_dns1123_label(std::string_view name) {
  if (name.size() > 63) return "must be no more than 63 characters";
  if (!shaped(name, lower_alnum, "-")) {
    return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
           "and must start and end with an alphanumeric character";
  }
  return {};
}

std::string check_dns1123_subdomain(std::string_view name) {
  if (name.size() > 253) return "must be no more than 253 characters";
  for (std::string_view part : split(name, '.')) {
    if (!shaped(part, lower_alnum, "-")) {
      return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
             "'-' or '.', and must start and end with an alphanumeric character";
    }
  }
  return {};
}

std::string check_dns1035_label(std::string_view name) {
  if (name.size() > 63) return "must be no more than 63 characters";
  if (!shaped(name, lower_alnum, "-") || (name[0] >= '0' && name[0] <= '9')) {
    return "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with "
           "an alphabetic character, and end with an alphanumeric character";
  }
  return {};
}

std::string check_label_key(std::string_view key) {
  std::string_view name = key;
  if (auto slash = key.find('/'); slash != key.npos) {
    name = key.substr(slash + 1);
    if (auto problem = check_dns1123_subdomain(key.substr(0, slash)); !problem.empty()) {
      return "prefix part " + problem;
    }
  }
  if (name.empty()) return "name part must be non-empty";
  if (name.size() > 63) return "name part must be no more than 63 characters";
  if (!shaped(name, alnum, "-_.")) {
    return "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and "
           "end with an alphanumeric character";
  }
  return {};
}

std::string check_label_value(std::string_view value) {
  if (value.size() > 63) return "must be no more than 63 characters";
  if (!value.empty() && !shaped(value, alnum, "-_.")) {
    return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' "
           "or "
           "'.', and must start and end with an alphanumeric character";
  }
  return {};
}

}  // namespace mizzen::object
