# kind: functional
class Solution:
    def maxEnergyBoost(self, energyDrinkA: List[int], energyDrinkB: List[int]) -> int:
        a = b = 0
        for x, y in zip(energyDrinkA, energyDrinkB):
            a, b = max(a, b) + x, max(a, b) + y
        return max(a, b)
