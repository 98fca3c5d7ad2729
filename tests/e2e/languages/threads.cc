// SPDX-License-Identifier: BSD-2-Clause
// Threads of C++: exceptions across libraries, destructors of threads, the waits of the library. Ends
// by an exception that nobody takes.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <iostream>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "library.h"

using namespace std::chrono_literals;

static std::atomic<int> destroyed;

struct Counted {
    int number = 0;
    ~Counted() { destroyed += number; }
};

thread_local Counted own;

template <typename Run> static void run_many(int count, Run run)
{
    std::vector<std::thread> threads;

    for (int i = 0; i < count; i++)
        threads.emplace_back(run, i);
    for (auto &thread : threads)
        thread.join();
}

static void exceptions()
{
    std::atomic<long> sum{0};

    run_many(6, [&](int thread) {
        own.number = thread;
        for (int n = 0; n < 40; n++) {
            try {
                pass_through(throw_odd, n);
                sum += n;
            } catch (const Odd &odd) {
                sum += 1000 * odd.number;
            }
        }
    });
    std::cout << "exceptions " << sum << ", destroyed " << destroyed << "\n";
}

static void turns()
{
    std::mutex mutex;
    std::condition_variable changed;
    int turn = 0, rounds = 0;

    run_many(2, [&](int me) {
        for (int i = 0; i < 200; i++) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return turn == me; });
            turn = 1 - me;
            rounds++;
            changed.notify_all();
        }
    });
    std::unique_lock lock(mutex);
    bool late = changed.wait_for(lock, 2ms) == std::cv_status::timeout;
    std::cout << "turns " << rounds << ", timed out " << late << "\n";
}

static void futures()
{
    auto number = std::async(std::launch::async, [] { return 42; });
    auto error = std::async(std::launch::async, []() -> int { throw std::logic_error("inside"); });

    std::cout << "future " << number.get();
    try {
        error.get();
    } catch (const std::exception &e) {
        std::cout << ", thrown " << e.what() << "\n";
    }
}

static void shared_locks()
{
    std::shared_mutex mutex;
    std::timed_mutex held;
    std::once_flag flag;
    int changes = 0, calls = 0;

    held.lock();
    run_many(4, [&](int me) {
        std::call_once(flag, [&] { calls++; });
        for (int i = 0; i < 100; i++) {
            if (me == 0) {
                std::unique_lock lock(mutex);
                changes++;
            } else {
                std::shared_lock lock(mutex);
                if (changes > 100)
                    std::abort();
            }
        }
        if (held.try_lock_for(1ms))
            std::abort();
    });
    std::cout << "changes " << changes << ", calls " << calls << "\n";
}

int main()
{
    exceptions();
    turns();
    futures();
    shared_locks();
    std::set_terminate([] {
        std::cout << "terminate" << std::endl;
        std::_Exit(9);
    });
    std::thread([] { throw 1; }).join();
}
