#include "route/match.h"

#include <gtest/gtest.h>

namespace mizzen::route {
namespace {

struct Request final : RequestView {
  std::string method_ = "GET", scheme_ = "http", authority_ = "a.com", path_ = "/";
  std::vector<std::pair<std::string, std::string>> headers_;

  std::string_view method() const override { return method_; }
  std::string_view scheme() const override { return scheme_; }
  std::string_view authority() const override { return authority_; }
  std::string_view path() const override { return path_; }
  std::optional<std::string_view> header(std::string_view name,
                                         std::string& scratch) const override {
    std::optional<std::string_view> found;
    for (const auto& [key, value] : headers_) {
      if (key != name) continue;
      if (found) {
        scratch = std::string(*found) + "," + value;
        found = scratch;
      } else {
        found = value;
      }
    }
    return found;
  }
};

Request request(std::string authority, std::string path) {
  Request made;
  made.authority_ = std::move(authority);
  made.path_ = std::move(path);
  return made;
}

Route route_to(std::string cluster) {
  Route route;
  route.match.path.value = "/";
  route.forward.cluster = std::move(cluster);
  return route;
}

// A table of one host per list of domains, named by its first domain.
Table table_of(const std::vector<std::vector<std::string>>& domains) {
  Table table;
  table.name = "t";
  for (const auto& list : domains) {
    VirtualHost host;
    host.name = list.front();
    host.domains = list;
    host.routes.push_back(route_to(list.front()));
    table.hosts.push_back(std::move(host));
  }
  return table;
}

TEST(Domains, TheMostSpecificWins) {
  Table table = table_of({{"*"},
                          {"a.com", "a.com:8080"},
                          {"*.com"},
                          {"*.b.com"},
                          {"*-x.b.com"},
                          {"foo.*"},
                          {"foo.bar.*"},
                          {"[::1]"}});
  table.ignore_port = false;
  ASSERT_TRUE(table.index());
  struct Row {
    const char* authority;
    const char* host;
  };
  for (const Row& row : std::initializer_list<Row>{{"a.com", "a.com"},
                                                   {"A.Com", "a.com"},
                                                   {"a.com:8080", "a.com"},
                                                   {"a.com:9", "*"},
                                                   {"b.com", "*.com"},
                                                   {"c.b.com", "*.b.com"},
                                                   {"c-x.b.com", "*-x.b.com"},
                                                   {"-x.b.com", "*.b.com"},
                                                   {"d.c.b.com", "*.b.com"},
                                                   {".com", "*"},
                                                   {"foo.org", "foo.*"},
                                                   {"foo.bar.org", "foo.bar.*"},
                                                   {"foo.com", "*.com"},
                                                   {"foo.", "*"},
                                                   {"other.org", "*"},
                                                   {"", "*"},
                                                   {"[::1]", "[::1]"}}) {
    const VirtualHost* host = find_host(table, row.authority);
    ASSERT_TRUE(host) << row.authority;
    EXPECT_EQ(host->name, row.host) << row.authority;
  }
}

TEST(Domains, ThePortIsIgnoredWhenTold) {
  Table table = table_of({{"a.com"}, {"10.0.0.1"}, {"[fd00::1]"}, {"fd00::2"}});
  table.ignore_port = true;
  ASSERT_TRUE(table.index());
  EXPECT_EQ(find_host(table, "a.com:8080")->name, "a.com");
  EXPECT_EQ(find_host(table, "10.0.0.1:80")->name, "10.0.0.1");
  EXPECT_EQ(find_host(table, "[fd00::1]:80")->name, "[fd00::1]");
  EXPECT_EQ(find_host(table, "[fd00::1]")->name, "[fd00::1]");
  EXPECT_EQ(find_host(table, "fd00::2")->name, "fd00::2");
  EXPECT_EQ(find_host(table, "b.com"), nullptr);
}

TEST(Domains, ADomainStandsOnceOnly) {
  for (const char* domain : {"a.com", "*", "*.a.com", "a.*"}) {
    Table table = table_of({{"first", domain}, {"second", domain}});
    auto status = table.index();
    ASSERT_FALSE(status) << domain;
    EXPECT_EQ(status.error().message, std::string("domain '") + domain +
                                          "' stands in virtual hosts 'first' and 'second': it may "
                                          "stand in one only");
  }
  EXPECT_FALSE(table_of({{""}}).index());
}

TEST(Paths, Match) {
  using Kind = PathMatcher::Kind;
  struct Row {
    Kind kind;
    const char* value;
    bool case_sensitive;
    const char* path;
    bool holds;
  };
  for (const Row& row : std::initializer_list<Row>{
           {Kind::kPrefix, "/", true, "/", true},
           {Kind::kPrefix, "/", true, "/a/b?c", true},
           {Kind::kPrefix, "/api", true, "/api/v1", true},
           {Kind::kPrefix, "/api", true, "/apiary", true},
           {Kind::kPrefix, "/api", true, "/ap", false},
           {Kind::kPrefix, "/api", true, "/API", false},
           {Kind::kPrefix, "/api", false, "/API/x", true},
           {Kind::kExact, "/api", true, "/api", true},
           {Kind::kExact, "/api", true, "/api?x=1", true},
           {Kind::kExact, "/api", true, "/api/", false},
           {Kind::kExact, "/api", false, "/Api", true},
           {Kind::kExact, "/api", true, "/Api", false},
           {Kind::kSeparatedPrefix, "/api", true, "/api", true},
           {Kind::kSeparatedPrefix, "/api", true, "/api/x", true},
           {Kind::kSeparatedPrefix, "/api", true, "/api?x", true},
           {Kind::kSeparatedPrefix, "/api", true, "/apiary", false},
           {Kind::kRegex, "/details/[0-9]+", true, "/details/12", true},
           {Kind::kRegex, "/details/[0-9]+", true, "/details/12?q=a", true},
           {Kind::kRegex, "/details/[0-9]+", true, "/details/12/x", false},
           {Kind::kRegex, "/details/[0-9]+", true, "x/details/12", false},
       }) {
    Table table = table_of({{"*"}});
    PathMatcher& matcher = table.hosts[0].routes[0].match.path;
    matcher.kind = row.kind;
    matcher.value = row.value;
    matcher.case_sensitive = row.case_sensitive;
    if (row.kind == Kind::kRegex) matcher.regex = *compile_regex(row.value);
    ASSERT_TRUE(table.index());
    auto decision = match(table, request("x", row.path), 0);
    EXPECT_EQ(decision.kind == Decision::Kind::kForward, row.holds) << row.value << " " << row.path;
  }
}

HeaderMatcher header_rule(StringMatcher text, bool invert = false, bool missing_is_empty = false) {
  HeaderMatcher matcher;
  matcher.name = "x-h";
  matcher.kind = HeaderMatcher::Kind::kString;
  matcher.text = std::move(text);
  matcher.invert = invert;
  matcher.treat_missing_as_empty = missing_is_empty;
  return matcher;
}

HeaderMatcher presence(bool present, bool invert = false, bool missing_is_empty = false) {
  HeaderMatcher matcher;
  matcher.name = "x-h";
  matcher.present = present;
  matcher.invert = invert;
  matcher.treat_missing_as_empty = missing_is_empty;
  return matcher;
}

HeaderMatcher range(std::int64_t start, std::int64_t end, bool invert = false) {
  HeaderMatcher matcher;
  matcher.name = "x-h";
  matcher.kind = HeaderMatcher::Kind::kRange;
  matcher.start = start;
  matcher.end = end;
  matcher.invert = invert;
  return matcher;
}

TEST(Headers, Match) {
  auto any_case = StringMatcher::exact("jason");
  any_case.ignore_case = true;
  auto any_case_contains = StringMatcher::contains("so");
  any_case_contains.ignore_case = true;
  struct Row {
    const char* what;
    HeaderMatcher matcher;
    std::optional<std::string> value;
    bool holds;
  };
  const Row rows[] = {
      {"exact", header_rule(StringMatcher::exact("jason")), "jason", true},
      {"exact, other", header_rule(StringMatcher::exact("jason")), "Jason", false},
      {"exact, absent", header_rule(StringMatcher::exact("jason")), std::nullopt, false},
      {"exact empty, absent", header_rule(StringMatcher::exact("")), std::nullopt, false},
      {"exact any case", header_rule(any_case), "JASON", true},
      {"contains any case", header_rule(any_case_contains), "JASON", true},
      {"prefix", header_rule(StringMatcher::prefix("ja")), "jason", true},
      {"prefix, other", header_rule(StringMatcher::prefix("ja")), "xja", false},
      {"suffix", header_rule(StringMatcher::suffix("on")), "jason", true},
      {"suffix, too short", header_rule(StringMatcher::suffix("on")), "n", false},
      {"contains", header_rule(StringMatcher::contains("aso")), "jason", true},
      {"contains, other", header_rule(StringMatcher::contains("aso")), "jas", false},
      {"regex", header_rule(*StringMatcher::of_regex("j.*n")), "jason", true},
      {"regex is whole", header_rule(*StringMatcher::of_regex("j.*n")), "jasonx", false},
      {"inverted", header_rule(StringMatcher::exact("jason"), true), "paul", true},
      {"inverted, equal", header_rule(StringMatcher::exact("jason"), true), "jason", false},
      {"inverted, absent", header_rule(StringMatcher::exact("jason"), true), std::nullopt, false},
      {"inverted, absent as empty", header_rule(StringMatcher::exact("jason"), true, true),
       std::nullopt, true},
      {"absent as empty", header_rule(StringMatcher::exact(""), false, true), std::nullopt, true},
      {"present", presence(true), "", true},
      {"present, absent", presence(true), std::nullopt, false},
      {"wanted absent, present", presence(false), "x", false},
      {"wanted absent, absent", presence(false), std::nullopt, true},
      {"inverted present, absent", presence(true, true), std::nullopt, true},
      {"inverted present, present", presence(true, true), "x", false},
      {"range start", range(3, 10), "3", true},
      {"range end", range(3, 10), "10", false},
      {"range negative", range(-5, 0), "-5", true},
      {"range, text", range(3, 10), "4x", false},
      {"range inverted", range(3, 10, true), "11", true},
  };
  for (const Row& row : rows) {
    Request asked;
    if (row.value) asked.headers_ = {{"x-h", *row.value}};
    EXPECT_EQ(matches(row.matcher, asked), row.holds) << row.what;
  }
}

TEST(Headers, PseudoHeadersAndRepeatedOnes) {
  HeaderMatcher method = header_rule(StringMatcher::exact("POST"));
  method.name = ":method";
  Request asked;
  EXPECT_FALSE(matches(method, asked));
  asked.method_ = "POST";
  EXPECT_TRUE(matches(method, asked));
  HeaderMatcher authority = header_rule(StringMatcher::prefix("a."));
  authority.name = ":authority";
  EXPECT_TRUE(matches(authority, asked));
  asked.headers_ = {{"x-h", "a"}, {"x-h", "b"}};
  EXPECT_TRUE(matches(header_rule(StringMatcher::exact("a,b")), asked));
}

TEST(Query, Match) {
  struct Row {
    const char* path;
    const char* name;
    std::optional<std::string> value;
  };
  for (const Row& row : std::initializer_list<Row>{{"/?q=1", "q", "1"},
                                                   {"/?a=2&q=1&q=3", "q", "1"},
                                                   {"/?q", "q", ""},
                                                   {"/?q=", "q", ""},
                                                   {"/?qq=1", "q", std::nullopt},
                                                   {"/?", "q", std::nullopt},
                                                   {"/", "q", std::nullopt},
                                                   {"/?a&&q=x=y", "q", "x=y"},
                                                   {"/?q=1#q=2", "q", "1"}}) {
    auto found = query_parameter(row.path, row.name);
    EXPECT_EQ(found ? std::optional<std::string>(*found) : std::nullopt, row.value) << row.path;
  }
  EXPECT_TRUE(matches(QueryMatcher{"q", StringMatcher::exact("1")}, "/?q=1"));
  EXPECT_FALSE(matches(QueryMatcher{"q", StringMatcher::exact("1")}, "/?q=2"));
  EXPECT_TRUE(matches(QueryMatcher{"q", std::nullopt}, "/?q"));
}

TEST(Weights, SplitAsWritten) {
  Table table = table_of({{"*"}});
  Forward& forward = table.hosts[0].routes[0].forward;
  forward.cluster.clear();
  for (auto [name, weight] : {std::pair{"v1", 80U}, {"none", 0U}, {"v2", 20U}}) {
    WeightedCluster cluster;
    cluster.cluster = name;
    cluster.weight = weight;
    forward.weighted.push_back(cluster);
    forward.total_weight += weight;
  }
  ASSERT_TRUE(table.index());
  std::map<std::string, int, std::less<>> counts;
  for (std::uint64_t random = 0; random < 1000; ++random) {
    counts[std::string(match(table, request("x", "/"), random).cluster)]++;
  }
  EXPECT_EQ(counts["v1"], 800);
  EXPECT_EQ(counts["v2"], 200);
  EXPECT_EQ(counts["none"], 0);
}

TEST(Order, TheFirstRouteThatMatchesWinsAndReasonsAreGiven) {
  Table table = table_of({{"*"}});
  auto& routes = table.hosts[0].routes;
  routes.clear();
  Route jason = route_to("v2");
  jason.match.headers.push_back(header_rule(StringMatcher::exact("jason")));
  jason.source = "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews";
  Route rest = route_to("v3");
  rest.name = "rest";
  routes.push_back(std::move(jason));
  routes.push_back(std::move(rest));
  ASSERT_TRUE(table.index());
  Request asked;
  Trace trace;
  EXPECT_EQ(match(table, asked, 0, false, &trace).cluster, "v3");
  EXPECT_EQ(trace.lines, (std::vector<std::string>{"table 't': virtual host '*' for 'a.com'",
                                                   "route 0: not header x-h = \"jason\"",
                                                   "route 1 'rest': matches", "cluster 'v3'"}));
  asked.headers_ = {{"x-h", "jason"}};
  trace.lines.clear();
  EXPECT_EQ(match(table, asked, 0, false, &trace).cluster, "v2");
  EXPECT_EQ(trace.lines[1],
            "route 0: matches, from "
            "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews");
}

TEST(Order, NothingMatches) {
  Table table = table_of({{"a.com"}});
  table.hosts[0].routes[0].match.path.value = "/x";
  ASSERT_TRUE(table.index());
  EXPECT_EQ(match(table, request("b.com", "/"), 0).kind, Decision::Kind::kNoVirtualHost);
  EXPECT_EQ(match(table, request("a.com", "/"), 0).kind, Decision::Kind::kNoRoute);
}

TEST(Order, ClusterFromAHeader) {
  Table table = table_of({{"*"}});
  table.hosts[0].routes[0].forward.cluster.clear();
  table.hosts[0].routes[0].forward.cluster_header = "x-cluster";
  ASSERT_TRUE(table.index());
  Request asked;
  EXPECT_EQ(match(table, asked, 0).cluster, "");
  asked.headers_ = {{"x-cluster", "c1"}};
  EXPECT_EQ(match(table, asked, 0).cluster, "c1");
}

TEST(Rewrites, OfThePath) {
  using Kind = PathMatcher::Kind;
  struct Row {
    Kind kind;
    const char* match;
    const char* rewrite;
    const char* path;
    const char* result;
  };
  for (const Row& row :
       std::initializer_list<Row>{{Kind::kPrefix, "/v1", "/v2", "/v1/x?q=1", "/v2/x?q=1"},
                                  {Kind::kPrefix, "/", "/d/", "/x", "/d/x"},
                                  {Kind::kPrefix, "/a/", "/", "/a/b", "/b"},
                                  {Kind::kExact, "/a", "/b", "/a?x", "/b?x"},
                                  {Kind::kSeparatedPrefix, "/a", "/b", "/a/c", "/b/c"},
                                  {Kind::kRegex, "/details/.*", "/d", "/details/1?x", "/d?x"}}) {
    Route route;
    route.match.path.kind = row.kind;
    route.match.path.value = row.match;
    route.forward.prefix_rewrite = row.rewrite;
    EXPECT_EQ(rewritten_path(route, row.path).value_or("unchanged"), row.result) << row.path;
  }
  Route route;
  EXPECT_FALSE(rewritten_path(route, "/x"));
  route.forward.regex_rewrite = RegexRewrite{*compile_regex("^/service/([^/]+)(/.*)$"), "\\2/\\1"};
  EXPECT_EQ(rewritten_path(route, "/service/foo/v1?q"), "/v1/foo?q");
}

TEST(Redirects, Location) {
  struct Row {
    Redirect redirect;
    const char* location;
  };
  Redirect https{.scheme = "https"};
  Redirect host{.host = "b.com", .path = "/new"};
  Redirect port{.scheme = "https", .port = 8443, .strip_query = true};
  Redirect prefix{.prefix_rewrite = "/z"};
  Redirect own_query{.path = "/new?own=1"};
  for (const Row& row : std::initializer_list<Row>{{https, "https://a.com/p/x?q=1"},
                                                   {host, "http://b.com/new?q=1"},
                                                   {port, "https://a.com:8443/p/x"},
                                                   {prefix, "http://a.com:80/z/x?q=1"},
                                                   {own_query, "http://a.com:80/new?own=1"}}) {
    Table table = table_of({{"*"}});
    Route& route = table.hosts[0].routes[0];
    route.match.path.value = "/p";
    route.action = Route::Action::kRedirect;
    route.redirect = row.redirect;
    ASSERT_TRUE(table.index());
    auto asked = request("a.com:80", "/p/x?q=1");
    auto decision = match(table, asked, 0);
    ASSERT_EQ(decision.kind, Decision::Kind::kRedirect);
    EXPECT_EQ(redirect_location(decision, asked), row.location);
  }
}

TEST(Redirects, AHostThatRequiresTls) {
  Table table = table_of({{"*"}});
  table.hosts[0].require_tls = VirtualHost::RequireTls::kAll;
  ASSERT_TRUE(table.index());
  auto asked = request("a.com", "/p?q=1");
  auto decision = match(table, asked, 0);
  ASSERT_EQ(decision.kind, Decision::Kind::kTlsRequired);
  EXPECT_EQ(redirect_location(decision, asked), "https://a.com/p?q=1");
  EXPECT_EQ(match(table, asked, 0, true).kind, Decision::Kind::kForward);
}

TEST(Retry, WordsBecomeBits) {
  std::vector<std::string> unknown;
  EXPECT_EQ(parse_retry_on("connect-failure,refused-stream, unavailable,cancelled,"
                           "retriable-status-codes,bogus",
                           &unknown),
            RetryPolicy::kConnectFailure | RetryPolicy::kRefusedStream |
                RetryPolicy::kGrpcUnavailable | RetryPolicy::kGrpcCancelled |
                RetryPolicy::kRetriableStatusCodes);
  EXPECT_EQ(unknown, std::vector<std::string>{"bogus"});
}

TEST(PerFilterPolicies, TheMostSpecificWins) {
  Table table = table_of({{"*"}});
  table.hosts[0].per_filter.fault = std::make_shared<const Fault>(Fault{.abort_status = 500});
  ASSERT_TRUE(table.index());
  auto decision = match(table, request("x", "/"), 0);
  EXPECT_EQ(effective(decision, table, &PerFilter::fault)->abort_status, 500);
  table.hosts[0].routes[0].per_filter.fault =
      std::make_shared<const Fault>(Fault{.abort_status = 418});
  EXPECT_EQ(effective(decision, table, &PerFilter::fault)->abort_status, 418);
  EXPECT_EQ(effective(decision, table, &PerFilter::cors), nullptr);
}

TEST(Regex, ABadOneSaysWhy) {
  auto result = compile_regex("a(b");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "regular expression 'a(b' is not valid RE2: missing ): a(b");
}

}  // namespace
}  // namespace mizzen::route
