"""Worked examples for few-shot prompts, all written for this project: (question, answer) by group."""

Example = tuple[str, str]

GSM8K: tuple[Example, ...] = (
    (
        "A baker fills 6 trays with 12 rolls each and sells 50 rolls. How many rolls are left?",
        "The baker makes 6 * 12 = 72 rolls. After selling 50, there are 72 - 50 = 22 left. The answer is 22.",
    ),
    (
        "Nadia reads 15 pages on Monday and twice as many on Tuesday. Her book has 100 pages. "
        "How many pages does she still have to read?",
        "On Tuesday she reads 2 * 15 = 30 pages. Together that is 15 + 30 = 45 pages. "
        "So 100 - 45 = 55 pages are left. The answer is 55.",
    ),
    (
        "A bus carries 40 people. At the first stop 9 get off and 4 get on, at the second stop 11 get off. "
        "How many people are on the bus then?",
        "After the first stop there are 40 - 9 + 4 = 35 people. After the second there are 35 - 11 = 24. "
        "The answer is 24.",
    ),
    (
        "Pencils cost $3 for a pack of 5. How many dollars do 20 pencils cost?",
        "20 pencils are 20 / 5 = 4 packs. They cost 4 * 3 = 12 dollars. The answer is 12.",
    ),
    (
        "Omar earns $14 an hour and works 6 hours a day, 5 days a week. He spends $120 a week. "
        "How many dollars does he save in 3 weeks?",
        "He earns 14 * 6 * 5 = 420 dollars a week and saves 420 - 120 = 300 of them. "
        "In 3 weeks that is 3 * 300 = 900 dollars. The answer is 900.",
    ),
    (
        "A rope of 18 meters is cut into two pieces. One piece is 4 meters longer than the other. "
        "How many meters long is the shorter piece?",
        "Without the extra 4 meters both pieces would be equal: 18 - 4 = 14 meters for two. "
        "So the shorter one is 14 / 2 = 7 meters. The answer is 7.",
    ),
    (
        "There are 24 students in a class. A third of them walk to school, 10 come by bus and the others "
        "cycle. How many cycle?",
        "24 / 3 = 8 students walk. With those who come by bus that makes 8 + 10 = 18. So 24 - 18 = 6 cycle. "
        "The answer is 6.",
    ),
    (
        "A tank holds 250 liters and is 40% full. A pump adds 25 liters a minute. "
        "After how many minutes is the tank full?",
        "The tank holds 0.4 * 250 = 100 liters now, so 250 - 100 = 150 are missing. "
        "The pump needs 150 / 25 = 6 minutes. The answer is 6.",
    ),
)

MATH: tuple[Example, ...] = (
    (
        r"Find all values of $x$ such that $x^2 - 7x + 10 = 0$.",
        r"The numbers $2$ and $5$ have sum $7$ and product $10$, so $x^2 - 7x + 10 = (x - 2)(x - 5)$. "
        r"The solutions are $x = 2$ and $x = 5$. The answer is $\boxed{2, 5}$.",
    ),
    (
        r"What is the sum of the first $40$ positive odd integers?",
        r"The sum of the first $n$ positive odd integers is $n^2$. With $n = 40$ it is $40^2 = 1600$. "
        r"The answer is $\boxed{1600}$.",
    ),
    (
        r"A right triangle has legs $5$ and $12$. What is the radius of its inscribed circle?",
        r"The hypotenuse is $\sqrt{5^2 + 12^2} = 13$. In a right triangle the inradius is half of the sum of "
        r"the legs minus the hypotenuse: $\frac{5 + 12 - 13}{2} = 2$. The answer is $\boxed{2}$.",
    ),
    (
        r"Two fair dice are rolled. What is the probability that the sum is greater than $9$? "
        r"Express your answer as a common fraction.",
        r"The sum $10$ occurs in $3$ ways, $11$ in $2$ ways and $12$ in $1$ way, which makes $6$ of the $36$ "
        r"outcomes. The probability is $\frac{6}{36} = \frac{1}{6}$. The answer is $\boxed{\frac{1}{6}}$.",
    ),
    (
        r"What is the remainder when $3^{50}$ is divided by $7$?",
        r"Modulo $7$ the powers of $3$ repeat with period $6$, since $3^6 \equiv 1$. As "
        r"$50 = 6 \cdot 8 + 2$, $3^{50} \equiv 3^2 = 9 \equiv 2$. The answer is $\boxed{2}$.",
    ),
)

MINERVA: tuple[Example, ...] = (
    (
        r"A ball is thrown straight up at $14 \mathrm{~m/s}$. Taking $g = 9.8 \mathrm{~m/s^2}$ and no air "
        r"resistance, how many meters does it rise?",
        r"At the top its kinetic energy has become potential energy, so $h = \frac{v^2}{2g} = "
        r"\frac{14^2}{2 \cdot 9.8} = 10$. The final answer is $\boxed{10}$.",
    ),
    (
        r"Solve $y' = 3y$ with $y(0) = 2$. Give $y(t)$.",
        r"The equation says that the rate of growth is three times the value, so $y = C e^{3t}$. "
        r"From $y(0) = 2$ we get $C = 2$. The final answer is $\boxed{2 e^{3t}}$.",
    ),
    (
        r"A photon has wavelength $500 \mathrm{~nm}$. With $hc = 1240 \mathrm{~eV \, nm}$, what is its "
        r"energy in eV?",
        r"$E = \frac{hc}{\lambda} = \frac{1240}{500} = 2.48$ eV. The final answer is $\boxed{2.48}$.",
    ),
    (
        r"Demand is $Q = 60 - 2P$ and supply is $Q = 4P$. What is the price at equilibrium?",
        r"At equilibrium $60 - 2P = 4P$, so $6P = 60$ and $P = 10$. The final answer is $\boxed{10}$.",
    ),
)

CARP: tuple[Example, ...] = (
    (
        r"Simplify $( 2 a + b ) ^ { 2 } - 4 a b$.",
        r"Expanding gives $4 a ^ { 2 } + 4 a b + b ^ { 2 } - 4 a b = 4 a ^ { 2 } + b ^ { 2 }$. "
        r"The answer is $\boxed{4 a ^ { 2 } + b ^ { 2 }}$.",
    ),
    (
        r"If $3 x - 5 = 16$, then $x =$ ____?",
        r"Adding $5$ gives $3 x = 21$, so $x = 7$. The answer is $\boxed{7}$.",
    ),
    (
        r"Factor $x ^ { 2 } - 9$.",
        r"This is a difference of squares: $x ^ { 2 } - 3 ^ { 2 } = ( x + 3 ) ( x - 3 )$. "
        r"The answer is $\boxed{( x + 3 ) ( x - 3 )}$.",
    ),
    (
        r"Solve the inequality $2 x + 1 > 7$.",
        r"Subtracting $1$ gives $2 x > 6$, so $x > 3$. The answer is $\boxed{x > 3}$.",
    ),
    (
        r"The square root of $16$ is ____?",
        r"Both $4 ^ { 2 }$ and $( - 4 ) ^ { 2 }$ are $16$. The answer is $\boxed{\pm 4}$.",
    ),
    (
        r"If $a : b = 2 : 3$ and $a + b = 20$, find $b$.",
        r"Let $a = 2 k$ and $b = 3 k$. Then $5 k = 20$, so $k = 4$ and $b = 12$. The answer is $\boxed{12}$.",
    ),
    (
        r"A line passes through $( 0 , 1 )$ and $( 2 , 5 )$. What is its equation?",
        r"Its slope is $\frac { 5 - 1 } { 2 - 0 } = 2$ and it meets the $y$-axis at $1$. "
        r"The answer is $\boxed{y = 2 x + 1}$.",
    ),
    (
        r"Calculate $\sqrt { 12 } - \sqrt { 3 }$.",
        r"$\sqrt { 12 } = 2 \sqrt { 3 }$, so the difference is $\sqrt { 3 }$. The answer is "
        r"$\boxed{\sqrt { 3 }}$.",
    ),
)

AQUA: tuple[Example, ...] = (
    (
        "A shirt that costs $40 is sold at a discount of 15%. What is its price?\n"
        "Answer Choices: (A) $25 (B) $32 (C) $34 (D) $36 (E) $38",
        "15% of 40 is 6, and 40 - 6 = 34. The answer is (C).",
    ),
    (
        "If 4x - 3 = 25, what is 2x?\nAnswer Choices: (A) 7 (B) 11 (C) 12 (D) 14 (E) 28",
        "4x = 28, so 2x = 14. The answer is (D).",
    ),
    (
        "A train covers 180 km in 2.5 hours. How fast is it on average?\n"
        "Answer Choices: (A) 72 km/h (B) 75 km/h (C) 80 km/h (D) 90 km/h (E) 60 km/h",
        "180 / 2.5 = 72 km/h. The answer is (A).",
    ),
    (
        "The average of 5 numbers is 12. A sixth number, 18, is added. What is the new average?\n"
        "Answer Choices: (A) 12.5 (B) 13 (C) 14 (D) 15 (E) 16",
        "The sum becomes 5 * 12 + 18 = 78, and 78 / 6 = 13. The answer is (B).",
    ),
    (
        "In how many ways can 3 books be chosen from 7?\nAnswer Choices: (A) 21 (B) 24 (C) 30 (D) 42 (E) 35",
        "The number is 7 * 6 * 5 / (3 * 2 * 1) = 35. The answer is (E).",
    ),
)

MMLU_STEM: tuple[Example, ...] = (
    (
        "Which of these is the derivative of x^3 + 2x?\nAnswer Choices: (A) 3x^2 (B) 3x^2 + 2 (C) x^2 + 2 (D) 3x + 2",
        "Term by term, x^3 becomes 3x^2 and 2x becomes 2. The answer is (B).",
    ),
    (
        "How many protons does a neutral atom with 17 electrons have?\nAnswer Choices: (A) 17 (B) 18 (C) 34 (D) 35",
        "A neutral atom has as many protons as electrons. The answer is (A).",
    ),
    (
        "A force of 10 N acts on a mass of 2 kg. What is its acceleration?\n"
        "Answer Choices: (A) 0.2 m/s^2 (B) 2 m/s^2 (C) 20 m/s^2 (D) 5 m/s^2",
        "By Newton's second law a = F / m = 10 / 2 = 5 m/s^2. The answer is (D).",
    ),
    (
        "How many bits are needed to number 100 things?\nAnswer Choices: (A) 5 (B) 6 (C) 7 (D) 8",
        "6 bits number 64 things, which is too few; 7 bits number 128. The answer is (C).",
    ),
    (
        "In which part of a plant cell does photosynthesis take place?\n"
        "Answer Choices: (A) nucleus (B) chloroplast (C) mitochondrion (D) cell wall",
        "The pigments that take up light are in the chloroplasts. The answer is (B).",
    ),
)

GAOKAO: tuple[Example, ...] = (
    (
        r"已知集合 $A = \{1, 2, 3, 4\}$，$B = \{2, 4, 6\}$，则 $A \cap B =$ ( )" + "\n"
        r"A. $\{2\}$ B. $\{2, 4\}$ C. $\{4, 6\}$ D. $\{1, 2, 3, 4, 6\}$",
        r"同时属于 $A$ 和 $B$ 的元素是 $2$ 和 $4$，故选 B。答案是 $\boxed{B}$。",
    ),
    (
        r"若复数 $z = (2 + i)(1 - i)$，则 $z$ 的实部为 ( )" + "\nA. $1$ B. $2$ C. $3$ D. $-1$",
        r"$(2 + i)(1 - i) = 2 - 2i + i - i^2 = 3 - i$，实部是 $3$，故选 C。答案是 $\boxed{C}$。",
    ),
    (
        r"等差数列 $\{a_n\}$ 中 $a_1 = 2$，公差 $d = 3$，则 $a_{10} =$ ( )" + "\nA. $29$ B. $30$ C. $32$ D. $27$",
        r"$a_{10} = 2 + 9 \times 3 = 29$，故选 A。答案是 $\boxed{A}$。",
    ),
    (
        r"函数 $y = \sin 2x$ 的最小正周期为 ( )" + "\n" + r"A. $4\pi$ B. $2\pi$ C. $\frac{\pi}{2}$ D. $\pi$",
        r"周期为 $\frac{2\pi}{2} = \pi$，故选 D。答案是 $\boxed{D}$。",
    ),
    (
        r"从 $1, 2, 3, 4, 5$ 中任取一个数，它是奇数的概率为 ( )" + "\n"
        r"A. $\frac{2}{5}$ B. $\frac{3}{5}$ C. $\frac{1}{2}$ D. $\frac{1}{5}$",
        r"奇数有 $1, 3, 5$ 三个，概率为 $\frac{3}{5}$，故选 B。答案是 $\boxed{B}$。",
    ),
)

# For the prompts that run Python: a program whose output is the answer.
PROGRAMS: tuple[Example, ...] = (
    (
        "A baker fills 6 trays with 12 rolls each and sells 50 rolls. How many rolls are left?",
        "```python\nrolls = 6 * 12\nprint(rolls - 50)\n```",
    ),
    (
        r"Find the sum of all integers $n$ from $1$ to $100$ that are divisible by $3$ or $5$.",
        "```python\nprint(sum(n for n in range(1, 101) if n % 3 == 0 or n % 5 == 0))\n```",
    ),
    (
        r"What is the exact value of $\int_0^1 x e^x \, dx$?",
        "```python\nfrom sympy import E, Symbol, exp, integrate\n\nx = Symbol('x')\n"
        "print(integrate(x * exp(x), (x, 0, 1)))\n```",
    ),
)

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "gsm8k": GSM8K,
    "math": MATH,
    "minerva_math": MINERVA,
    "carp_en": CARP,
    "aqua": AQUA,
    "mmlu_stem": MMLU_STEM,
    "gaokao": GAOKAO,
}
