/* SPDX-License-Identifier: BSD-2-Clause */
/* Loops, barriers, critical sections and tasks of OpenMP. */
#include <stdio.h>

int main(void)
{
    static double halves[1000];
    long sum = 0;
    int entered = 0, tasks = 0;

#pragma omp parallel for reduction(+ : sum) num_threads(4) schedule(dynamic, 1000)
    for (int i = 0; i < 500000; i++)
        sum += i % 13;
#pragma omp parallel num_threads(4)
    {
        for (int i = 0; i < 100; i++) {
#pragma omp barrier
#pragma omp critical
            entered++;
        }
#pragma omp single
        for (int i = 0; i < 50; i++) {
#pragma omp task
            {
#pragma omp atomic
                tasks++;
            }
        }
    }
#pragma omp parallel for num_threads(3)
    for (int i = 0; i < 1000; i++)
        halves[i] = i * 0.5;
    printf("%ld %d %d %g\n", sum, entered, tasks, halves[999]);
    return 0;
}
