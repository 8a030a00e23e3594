// The API server as kubectl sees it: every kubectl that is found, against a server in this process
// whose pods are played by a small runtime of canned containers.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/strings.h"
#include "io/sim_loop.h"
#include "local/apiserver/server.h"
#include "local/apiserver/upgraded.h"

namespace mizzen::local {
namespace {

// Containers that know three commands: `echo WORDS`, `cat` (gives back its input) and `exit N`.
class CannedPods final : public PodAccess {
 public:
  explicit CannedPods(io::Loop& loop) : loop_(loop) {}

  Result<std::unique_ptr<PodSession>> logs(const ContainerRef& where, const LogOptions& options,
                                           PodSessionEvents events) override {
    auto alive = std::make_shared<bool>(true);
    std::string text = "log of " + where.container + "\n";
    if (options.tail_lines) text = "tail " + std::to_string(*options.tail_lines) + "\n";
    loop_.defer([alive, text, events] {
      if (*alive) events.on_stdout(text);
      if (*alive) events.on_exit({});
    });
    return std::make_unique<Session>(loop_, alive, events);
  }
  Result<std::unique_ptr<PodSession>> exec(const ContainerRef&, const ExecOptions& options,
                                           PodSessionEvents events) override {
    auto alive = std::make_shared<bool>(true);
    const auto command = options.command;
    loop_.defer([alive, command, events] {
      if (!*alive) return;
      if (command[0] == "exit") {
        events.on_stderr("leaving\n");
        events.on_exit({.exit_code = std::stoi(command[1]), .error = ""});
      } else if (command[0] == "echo") {
        std::string text;
        for (std::size_t i = 1; i < command.size(); ++i) text += (i > 1 ? " " : "") + command[i];
        events.on_stdout(text + "\n");
        events.on_exit({});
      } else if (command[0] != "cat") {
        events.on_exit({.exit_code = 0, .error = "no such command: " + command[0]});
      }
    });
    return std::make_unique<Session>(loop_, alive, events);
  }
  Result<std::unique_ptr<PodSession>> attach(const ContainerRef&, const ExecOptions&,
                                             PodSessionEvents) override {
    return fail(Code::kUnavailable, "nothing to attach to");
  }
  void port_forward(const std::string&, const std::string&, std::uint16_t port,
                    io::ConnectDone done) override {
    dial("127.0.0.1", port, std::move(done));
  }
  void dial(const std::string&, std::uint16_t, io::ConnectDone done) override {
    // Whoever connects meets a server that says one line of HTTP.
    auto [ours, theirs] = io::memory_pair(loop_);
    constexpr std::string_view kAnswer =
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nhello\n";
    (void)static_cast<io::Stream&>(*theirs).write(kAnswer);
    kept_.push_back(std::move(theirs));
    done(std::move(ours));
  }

 private:
  class Session final : public PodSession {
   public:
    Session(io::Loop& loop, std::shared_ptr<bool> alive, PodSessionEvents events)
        : loop_(loop), alive_(std::move(alive)), events_(std::move(events)) {}
    ~Session() override { *alive_ = false; }
    void write_stdin(std::string_view bytes) override {
      loop_.defer([alive = alive_, text = std::string(bytes), out = events_.on_stdout] {
        if (*alive) out(text);
      });
    }
    void close_stdin() override {
      loop_.defer([alive = alive_, out = events_.on_exit] {
        if (*alive) out({});
      });
    }

   private:
    io::Loop& loop_;
    std::shared_ptr<bool> alive_;
    PodSessionEvents events_;
  };

  io::Loop& loop_;
  std::vector<std::unique_ptr<io::Stream>> kept_;
};

std::vector<std::string> kubectls() {
  std::vector<std::string> found;
  std::string wanted = "kubectl";
  if (const char* named = ::getenv("MIZZEN_KUBECTL")) wanted = named;  // several by ':'
  for (auto each : split(wanted, ':')) {
    if (std::system(("command -v " + std::string(each) + " >/dev/null 2>&1").c_str()) == 0) {
      found.emplace_back(each);
    }
  }
  return found;
}

class KubectlTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("mizzen-kubectl-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    pods_ = std::make_unique<CannedPods>(loop_);
    ServerOptions options;
    options.pods = pods_.get();
    auto server = Server::start(loop_, std::move(options));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    std::ofstream(folder_ / "config") << *server_->admin_kubeconfig();
    thread_ = std::thread([this] { loop_.run(); });
  }
  void TearDown() override {
    loop_.stop();
    if (thread_.joinable()) thread_.join();
    // kubectl has ended: its conversations do so too, as soon as the loop hears of it.
    loop_.run_until([] { return Upgraded::open() == 0; }, std::chrono::seconds(10));
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  // Runs kubectl with `arguments` (as a shell takes them); standard output and error together.
  std::string run(const std::string& arguments, int expected = 0) {
    const std::string line = "export HOME=" + folder_.string() +
                             " KUBECONFIG=" + (folder_ / "config").string() + "; timeout 60 " +
                             GetParam() + " " + arguments;
    std::FILE* pipe = ::popen(("{ " + line + "; } 2>&1").c_str(), "r");
    std::string text;
    std::array<char, 4096> buffer;
    while (std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe))
      text.append(buffer.data(), size);
    const int status = ::pclose(pipe);
    EXPECT_EQ(WEXITSTATUS(status), expected) << GetParam() << " " << arguments << "\n" << text;
    return text;
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  std::string path(const std::string& name) { return (folder_ / name).string(); }

  io::EpollLoop loop_;
  std::unique_ptr<CannedPods> pods_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  std::filesystem::path folder_;
};

void expect_has(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "no \"" << part << "\" in:\n" << text;
}

TEST_P(KubectlTest, DeploymentsLiveTheirDays) {
  expect_has(run("create deployment web --image=nginx:1.2"), "deployment.apps/web created");
  expect_has(run("get deployments"), "0/1");
  expect_has(run("get deploy web -o wide"), "nginx:1.2");
  EXPECT_EQ(run("get deploy web -o jsonpath='{.spec.strategy.type}'"), "RollingUpdate");
  run("label deploy web tier=front");
  expect_has(run("get deploy -l tier=front -o name"), "deployment.apps/web");
  run("annotate deploy web note=hello");
  run("scale deploy web --replicas=3");
  EXPECT_EQ(run("get deploy web -o jsonpath='{.spec.replicas}'"), "3");
  run("patch deploy web --type=json -p "
      "'[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":2}]'");
  run("patch deploy web --type=merge -p '{\"spec\":{\"replicas\":4}}'");
  run("set image deploy/web nginx=nginx:1.3");
  run("rollout restart deploy web");
  expect_has(run("describe deploy web"), "nginx:1.3");
  expect_has(run("expose deploy web --port=80 --type=NodePort"), "exposed");
  EXPECT_EQ(run("get svc web -o jsonpath='{.spec.ports[0].nodePort}'"), "30000");
  expect_has(run("describe svc web"), "NodePort");
  ::setenv("EDITOR", "sed -i s/replicas:.4/replicas:\\ 5/", 1);
  expect_has(run("edit deploy web"), "edited");
  EXPECT_EQ(run("get deploy web -o jsonpath='{.spec.replicas}'"), "5");
  expect_has(run("delete deploy web"), "deleted");
  expect_has(run("get deploy web", 1),
             "Error from server (NotFound): deployments.apps \"web\" not found");
}

TEST_P(KubectlTest, SmallKindsAndQuestions) {
  expect_has(run("create namespace other"), "created");
  expect_has(run("create configmap c --from-literal=a=b -n other"), "created");
  expect_has(run("create secret generic s --from-literal=a=b -n other"), "created");
  EXPECT_EQ(run("get secret s -n other -o jsonpath='{.data.a}'"), "Yg==");
  expect_has(run("api-resources"), "deployments");
  expect_has(run("api-versions"), "apps/v1");
  expect_has(run("version"), "1");
  expect_has(run("cluster-info"), "is running at");
  expect_has(run("auth can-i create pods"), "yes");
  expect_has(run("get ns"), "kube-system");
  run("delete ns other --timeout=30s");
  expect_has(run("get configmap c -n other", 1), "not found");
}

TEST_P(KubectlTest, CommandsInContainers) {
  run("run box --image=box --restart=Never");
  EXPECT_EQ(run("logs box"), "log of box\n");
  EXPECT_EQ(run("logs box --tail=7"), "tail 7\n");
  EXPECT_EQ(run("exec box -- echo one two"), "one two\n");
  EXPECT_EQ(run("exec -i box -- cat < /etc/hostname"), run("exec -i box -- cat < /etc/hostname"));
  write("big", std::string(300000, 'x') + "\n");
  EXPECT_EQ(run("exec -i box -- cat < " + path("big")).size(), 300001u);
  expect_has(run("exec box -- exit 3", 3), "leaving");
  expect_has(run("get --raw /api/v1/namespaces/default/pods/box:80/proxy/", 1), "no address");
}

TEST_P(KubectlTest, PortsOfPods) {
  run("run box --image=box --restart=Never");
  loop_.post([this] {
    (void)server_->store().modify({"pods", "default", "box"}, [](Json& pod) {
      pod["status"] = {{"phase", "Running"}, {"podIP", "10.244.0.9"}};
      return true;
    });
  });
  for (int i = 0; i < 50 && run("get pod box -o jsonpath='{.status.phase}'") != "Running"; ++i)
    continue;
  EXPECT_EQ(run("get --raw /api/v1/namespaces/default/pods/box:80/proxy/some/page"), "hello\n");
  if (std::system("command -v curl >/dev/null 2>&1") != 0) GTEST_SKIP() << "no curl is found";
  write("forward",
        "#!/bin/sh\n" + GetParam() +
            " port-forward pod/box :80 >\"$1\" 2>&1 &\npid=$!\n"
            "for i in $(seq 200); do grep -q Forwarding \"$1\" && break; sleep 0.05; done\n"
            "port=$(sed -n 's/^Forwarding from 127.0.0.1:\\([0-9]*\\).*/\\1/p' \"$1\")\n"
            "for i in 1 2 3; do curl -s -m 10 http://127.0.0.1:$port/; done\nkill $pid\ncat \"$1\" "
            ">&2\n");
  const std::string out =
      run("version --client >/dev/null; sh " + path("forward") + " " + path("out"));
  EXPECT_TRUE(out.starts_with("hello\nhello\nhello\n")) << out;
}

TEST_P(KubectlTest, CustomKinds) {
  write("crd.yaml", R"(apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.sea.example}
spec:
  group: sea.example
  scope: Namespaced
  names: {plural: boats, kind: Boat, shortNames: [bo]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns: [{name: Masts, type: integer, jsonPath: .spec.masts}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, required: [masts], properties: {masts: {type: integer, minimum: 1}}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
)");
  run("apply -f " + path("crd.yaml"));
  run("wait --for=condition=established crd/boats.sea.example --timeout=10s");
  write("boat.yaml",
        "apiVersion: sea.example/v1\nkind: Boat\nmetadata: {name: b}\nspec: {masts: 2}\n");
  expect_has(run("apply -f " + path("boat.yaml")), "created");
  expect_has(run("get bo"), "2");
  write("bad.yaml",
        "apiVersion: sea.example/v1\nkind: Boat\nmetadata: {name: c}\nspec: {masts: many}\n");
  expect_has(run("apply -f " + path("bad.yaml"), 1), "spec.masts");
  run("patch boat b --type=merge -p '{\"spec\":{\"masts\":3}}'");
  EXPECT_EQ(run("get boat b -o jsonpath='{.spec.masts} {.metadata.generation}'"), "3 2");
  run("delete crd boats.sea.example");
}

TEST_P(KubectlTest, ManifestsApply) {
  const char* folder = ::getenv("MIZZEN_MANIFESTS");
  if (!folder) GTEST_SKIP() << "MIZZEN_MANIFESTS is not set";
  const std::string bookinfo = std::string(folder) + "/bookinfo/platform/kube/bookinfo.yaml";
  expect_has(run("apply -f " + bookinfo), "deployment.apps/productpage-v1 created");
  expect_has(run("apply -f " + bookinfo), "deployment.apps/productpage-v1 unchanged");
  run("delete -f " + bookinfo);
}

std::string label(const testing::TestParamInfo<std::string>& info) {
  return "n" + std::to_string(info.index);
}
INSTANTIATE_TEST_SUITE_P(Each, KubectlTest, testing::ValuesIn(kubectls()), label);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(KubectlTest);

TEST(Kubectl, IsThere) {
  if (kubectls().empty()) GTEST_SKIP() << "no kubectl is found";
}

}  // namespace
}  // namespace mizzen::local
