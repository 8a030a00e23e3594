#include "local/apiserver/rbac.h"

#include <fmt/core.h>

#include <algorithm>
#include <functional>

#include "base/strings.h"
#include "object/meta.h"
#include "object/selector.h"

namespace mizzen::local {

namespace {

constexpr const char* kRoles = "roles.rbac.authorization.k8s.io";
constexpr const char* kClusterRoles = "clusterroles.rbac.authorization.k8s.io";
constexpr const char* kBindings = "rolebindings.rbac.authorization.k8s.io";
constexpr const char* kClusterBindings = "clusterrolebindings.rbac.authorization.k8s.io";

bool in_group(const Caller& caller, std::string_view group) {
  return std::ranges::find(caller.groups, group) != caller.groups.end();
}

bool lists(const Json& rule, const char* member, std::string_view value) {
  for (const Json& each : at_path(rule, {member})) {
    if (each.is_string() && (each == "*" || each.get_ref<const std::string&>() == value)) {
      return true;
    }
  }
  return false;
}

// resources may say "*", "pods/exec" or "*/scale".
bool covers_resource(const Json& rule, std::string_view resource) {
  if (lists(rule, "resources", resource)) return true;
  const auto slash = resource.find('/');
  return slash != std::string_view::npos &&
         lists(rule, "resources", "*" + std::string(resource.substr(slash)));
}

bool covers_path(const Json& rule, std::string_view path) {
  for (const Json& each : at_path(rule, {"nonResourceURLs"})) {
    if (!each.is_string()) continue;
    const std::string_view pattern = each.get_ref<const std::string&>();
    if (pattern == path) return true;
    if (pattern.ends_with('*') && path.starts_with(pattern.substr(0, pattern.size() - 1))) {
      return true;
    }
  }
  return false;
}

bool covers(const Json& rule, const Access& access) {
  if (!lists(rule, "verbs", access.verb)) return false;
  if (!access.path.empty()) return covers_path(rule, access.path);
  if (!lists(rule, "apiGroups", access.group) || !covers_resource(rule, access.resource)) {
    return false;
  }
  const Json& names = at_path(rule, {"resourceNames"});
  if (!names.is_array() || names.empty()) return true;
  return !access.name.empty() && std::ranges::find(names, Json(access.name)) != names.end();
}

bool is_subject(const Json& subject, const Caller& caller, const std::string& ns) {
  const std::string kind = text_at(subject, {"kind"});
  const std::string name = text_at(subject, {"name"});
  if (kind == "User") return name == caller.user;
  if (kind == "Group") return in_group(caller, name);
  if (kind != "ServiceAccount") return false;
  const std::string own = text_at(subject, {"namespace"});
  return caller.user == fmt::format("system:serviceaccount:{}:{}", own.empty() ? ns : own, name);
}

using RuleFn = std::function<bool(const Json& rule)>;  // true: seen enough

bool each_rule_of(const Json& role, const RuleFn& fn) {
  for (const Json& rule : at_path(role, {"rules"})) {
    if (fn(rule)) return true;
  }
  return false;
}

// The rules of a role by reference; those of the roles that an aggregation rule selects, too.
bool each_rule(const Store& store, const Json& reference, const std::string& ns, const RuleFn& fn) {
  const std::string name = text_at(reference, {"name"});
  if (text_at(reference, {"kind"}) == "Role") {
    Object role = store.get({kRoles, ns, name});
    return role && each_rule_of(*role, fn);
  }
  Object role = store.get({kClusterRoles, "", name});
  if (!role) return false;
  if (each_rule_of(*role, fn)) return true;
  for (const Json& text : at_path(*role, {"aggregationRule", "clusterRoleSelectors"})) {
    auto selector = object::LabelSelector::from_json(&text);
    if (!selector) continue;
    for (const Object& other : store.list(kClusterRoles)) {
      if (other == role || !selector->matches(object::labels_of(*other))) continue;
      if (each_rule_of(*other, fn)) return true;
    }
  }
  return false;
}

using GrantFn = std::function<bool(const Json& binding, const Json& rule)>;

bool each_grant(const Store& store, const Caller& caller, const std::string& ns,
                const GrantFn& fn) {
  auto look = [&](const char* resource, const std::string& where) {
    for (const Object& binding : store.list(resource, where)) {
      const Json& subjects = at_path(*binding, {"subjects"});
      const bool bound = std::ranges::any_of(
          subjects, [&](const Json& one) { return is_subject(one, caller, where); });
      if (bound && each_rule(store, at_path(*binding, {"roleRef"}), where,
                             [&](const Json& rule) { return fn(*binding, rule); })) {
        return true;
      }
    }
    return false;
  };
  return look(kClusterBindings, "") || (!ns.empty() && look(kBindings, ns));
}

std::string words_of(const Access& access) {
  if (!access.path.empty()) return fmt::format("{} path \"{}\"", access.verb, access.path);
  const std::string where = access.ns.empty() ? std::string("at the cluster scope")
                                              : fmt::format("in the namespace \"{}\"", access.ns);
  return fmt::format("{} resource \"{}\" in API group \"{}\" {}", access.verb, access.resource,
                     access.group, where);
}

// Every single right that a rule gives, as the access that must be allowed to who hands it out.
bool holds_rule(const Store& store, const Caller& caller, const Json& rule, const std::string& ns,
                std::string* missing) {
  auto strings = [&](const char* member) {
    std::vector<std::string> out;
    for (const Json& each : at_path(rule, {member})) {
      if (each.is_string()) out.push_back(each.get<std::string>());
    }
    return out;
  };
  std::vector<std::string> names = strings("resourceNames");
  if (names.empty()) names.push_back("");
  std::vector<Access> wanted;
  for (const std::string& verb : strings("verbs")) {
    for (const std::string& path : strings("nonResourceURLs")) {
      wanted.push_back({verb, "", "", "", "", path});
    }
    for (const std::string& group : strings("apiGroups")) {
      for (const std::string& resource : strings("resources")) {
        for (const std::string& name : names) {
          wanted.push_back({verb, group, resource, ns, name, ""});
        }
      }
    }
  }
  for (const Access& access : wanted) {
    if (authorize(store, caller, access).allowed) continue;
    *missing = words_of(access);
    return false;
  }
  return true;
}

}  // namespace

Verdict authorize(const Store& store, const Caller& caller, const Access& access) {
  if (in_group(caller, "system:masters")) return {true, "member of system:masters"};
  Verdict verdict;
  verdict.allowed =
      each_grant(store, caller, access.ns, [&](const Json& binding, const Json& rule) {
        if (!covers(rule, access)) return false;
        verdict.reason = fmt::format(
            "RBAC: allowed by {} \"{}\" of {} \"{}\"", text_at(binding, {"kind"}), name_of(binding),
            text_at(binding, {"roleRef", "kind"}), text_at(binding, {"roleRef", "name"}));
        return true;
      });
  return verdict;
}

Access access_of(const ApiRequest& request, const Target* target) {
  Access access;
  if (target == nullptr) {
    access.verb = lower(request.method);
    access.path = request.path;
    return access;
  }
  access.group = target->type->group;
  access.resource = target->type->plural;
  if (!target->subresource.empty()) access.resource += "/" + target->subresource;
  access.ns = target->ns;
  access.name = target->name;
  // A namespace itself counts as being in it.
  if (access.resource == "namespaces" && !access.name.empty()) access.ns = access.name;
  const std::string& method = request.method;
  const bool enters = target->subresource == "exec" || target->subresource == "attach" ||
                      target->subresource == "portforward";
  if (method == "POST" || enters)
    access.verb = "create";
  else if (method == "PUT")
    access.verb = "update";
  else if (method == "PATCH")
    access.verb = "patch";
  else if (method == "DELETE")
    access.verb = target->name.empty() ? "deletecollection" : "delete";
  else if (target->flag("watch"))
    access.verb = "watch";
  else
    access.verb = target->name.empty() ? "list" : "get";
  return access;
}

ApiResponse refused(const Caller& caller, const Access& access) {
  const std::string what = fmt::format("User \"{}\" cannot {}", caller.user, words_of(access));
  if (!access.path.empty()) {
    return status_response(403, "Forbidden", "forbidden: " + what, Json::object());
  }
  std::string subject = access.resource.substr(0, access.resource.find('/'));
  if (!access.group.empty()) subject += "." + access.group;
  if (!access.name.empty()) subject += fmt::format(" \"{}\"", access.name);
  return status_response(
      403, "Forbidden", fmt::format("{} is forbidden: {}", subject, what),
      {{"name", access.name}, {"group", access.group}, {"kind", access.resource}});
}

Json rules_of(const Store& store, const Caller& caller, const std::string& ns) {
  Json out = Json::array();
  if (in_group(caller, "system:masters")) {
    out.push_back({{"verbs", {"*"}}, {"apiGroups", {"*"}}, {"resources", {"*"}}});
    out.push_back({{"verbs", {"*"}}, {"nonResourceURLs", {"*"}}});
  }
  each_grant(store, caller, ns, [&](const Json&, const Json& rule) {
    if (std::ranges::find(out, rule) == out.end()) out.push_back(rule);
    return false;
  });
  return out;
}

std::string escalates(const Store& store, const Caller& caller, const Type& type,
                      const Json& object) {
  if (type.group != "rbac.authorization.k8s.io" || in_group(caller, "system:masters")) return {};
  const bool binding = type.plural.ends_with("bindings");
  const std::string ns = type.namespaced ? namespace_of(object) : "";
  Access free{binding ? "bind" : "escalate", type.group, type.plural, ns, name_of(object), ""};
  const Json& reference = at_path(object, {"roleRef"});
  if (binding) {
    free.resource = text_at(reference, {"kind"}) == "Role" ? "roles" : "clusterroles";
    free.name = text_at(reference, {"name"});
  }
  if (authorize(store, caller, free).allowed) return {};
  std::string missing;
  auto lacks = [&](const Json& rule) { return !holds_rule(store, caller, rule, ns, &missing); };
  if (binding)
    each_rule(store, reference, ns, lacks);
  else
    each_rule_of(object, lacks);
  if (missing.empty()) return {};
  return fmt::format("user \"{}\" is attempting to grant what it does not have itself: {}",
                     caller.user, missing);
}

Result<Caller> impersonate(const Store& store, const Caller& caller, const std::string& user,
                           const std::vector<std::string>& groups) {
  constexpr std::string_view kAccount = "system:serviceaccount:";
  std::vector<Access> wanted;
  Caller other{user, groups, ""};
  const auto parts = split(user, ':');
  if (user.starts_with(kAccount) && parts.size() == 4) {
    const std::string ns(parts[2]);
    wanted.push_back({"impersonate", "", "serviceaccounts", ns, std::string(parts[3]), ""});
    if (groups.empty()) other.groups = {"system:serviceaccounts", "system:serviceaccounts:" + ns};
  } else {
    wanted.push_back({"impersonate", "", "users", "", user, ""});
  }
  for (const std::string& group : groups) {
    wanted.push_back({"impersonate", "", "groups", "", group, ""});
  }
  for (const Access& access : wanted) {
    if (!authorize(store, caller, access).allowed) {
      return fail(Code::kDenied,
                  fmt::format("{} \"{}\" is forbidden: User \"{}\" cannot {}", access.resource,
                              access.name, caller.user, words_of(access)));
    }
  }
  const char* known =
      user == "system:anonymous" ? "system:unauthenticated" : "system:authenticated";
  if (!in_group(other, known)) other.groups.emplace_back(known);
  return other;
}

}  // namespace mizzen::local
