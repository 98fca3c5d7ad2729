// SPDX-License-Identifier: BSD-2-Clause
// Threads of Java: safepoints while they compute, the collector's threads, faults that become
// exceptions.
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;

public class Threads {
    static volatile boolean over;
    static int[] nothing;

    static int endless(int depth) {
        return endless(depth + 1) + 1;
    }

    static void pool() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Long>> results = new ArrayList<>();
        for (int i = 1; i <= 8; i++) {
            final int by = i;
            results.add(pool.submit(() -> LongStream.range(0, 300000).map(x -> x % by).sum()));
        }
        for (Future<Long> result : results)
            System.out.print(result.get() + " ");
        pool.shutdown();
        System.out.println(IntStream.range(0, 300000).parallel().mapToLong(x -> x % 9).sum());
    }

    static void safepoints() throws Exception {
        Thread[] threads = new Thread[2];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = new Thread(() -> { for (long x = 0; !over; x++) { } });
            threads[i].start();
        }
        for (int i = 0; i < 3; i++)
            System.gc();
        over = true;
        for (Thread thread : threads)
            thread.join();
        System.out.println("safepoints");
    }

    static void faults() {
        int caught = 0;
        for (int i = 0; i < 30000; i++) {
            try {
                nothing = i % 100 == 0 ? null : new int[1];
                caught += nothing.length * 0 + 100 / (i % 4) * 0;
            } catch (NullPointerException | ArithmeticException e) {
                caught++;
            }
        }
        System.out.println(caught);
        try {
            endless(0);
        } catch (StackOverflowError e) {
            System.out.println("stack overflow");
        }
        try {
            List<long[]> all = new ArrayList<>();
            while (true)
                all.add(new long[1 << 20]);
        } catch (OutOfMemoryError e) {
            System.out.println("out of memory");
        }
    }

    static void monitors() throws Exception {
        Object lock = new Object();
        int[] turn = {0};
        Thread other = new Thread(() -> {
            for (int i = 0; i < 200; i++) {
                synchronized (lock) {
                    while (turn[0] != 1) {
                        try {
                            lock.wait();
                        } catch (InterruptedException e) {
                            return;
                        }
                    }
                    turn[0] = 0;
                    lock.notifyAll();
                }
            }
        });
        other.start();
        for (int i = 0; i < 200; i++) {
            synchronized (lock) {
                while (turn[0] != 0)
                    lock.wait();
                turn[0] = 1;
                lock.notifyAll();
            }
        }
        other.join();
        System.out.println("monitors");
    }

    public static void main(String[] args) throws Exception {
        pool();
        safepoints();
        faults();
        monitors();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("the hook")));
        System.exit(5);
    }
}
